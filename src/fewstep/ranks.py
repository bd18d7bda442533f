"""The processes that share the tasks of a meta-batch: which of them this one is, and what they tell each other.

R ranks; rank r takes tasks r, r + R, ... T tasks of a meta-batch.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fewstep.core import map_tensors, tensors_of, with_tensors

Tree = TypeVar("Tree", bound=Any)
Value = TypeVar("Value")


class LostError(ConnectionError):
    """Another rank has gone, and what all of them do together cannot go on."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process, `rank` of `count`; `local_rank` of `local_count` among those on this machine.

    What says "all ranks" is done by all of them, in the same order. With one rank it costs nothing.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes, prints and holds the lock."""
        return self.rank == 0

    def places(self, count: int) -> range:
        """Which of `count` tasks are this rank's."""
        return range(self.rank, count, self.count)

    def device(self, device: str) -> str:
        """`cuda` is the GPU of this rank's own number on its machine; anything else is taken as it is."""
        return f"cuda:{self.local_rank}" if device == "cuda" and self.count > 1 else device

    def sum(self, tree: Tree) -> Tree:
        """The sum over all ranks of every tensor, the same bits on each: one all-reduce, in float64."""
        if self.count == 1:
            return tree
        parts = tensors_of(tree)
        flat = torch.cat([part.detach().reshape(-1).double() for part in parts])
        with self._together():
            dist.all_reduce(flat)
        sums = with_tensors(tree, torch.split(flat, [part.numel() for part in parts]))
        return map_tensors(lambda tensor, total: total.reshape(tensor.shape).to(tensor.dtype), tree, sums)

    def gather(self, shares: Tree, count: int) -> Tree:
        """`[T, ...]` in task order on all ranks, from this rank's share of `count` tasks, `[len(places), ...]`."""
        if self.count == 1:
            return shares

        def spread(share: Tensor) -> Tensor:
            whole = share.new_zeros((count, *share.shape[1:]))
            whole[self.rank :: self.count] = share
            return whole

        return self.sum(map_tensors(spread, shares))  # one number and zeros: exact

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What `make` returns on the first rank, on all ranks; tensors arrive on the CPU."""
        if self.count == 1:
            return make()
        if not self.is_first:
            value: Value = _unpacked(self._sent(None))
            return value
        made = make()
        self._sent(_packed(made))
        return made

    def one_here_first(self, make: Callable[[], Value]) -> Value:
        """What `make` returns on this rank; one of each machine goes first, so that the others find what it cached."""
        if self.local_rank == 0:
            value = make()
            self.sum(torch.zeros(1))
            return value
        self.sum(torch.zeros(1))
        return make()

    def _sent(self, packed: bytes | None) -> bytes:
        """The bytes of the first rank."""
        box: list[Any] = [packed]
        with self._together():
            dist.broadcast_object_list(box, src=0)
        received: bytes = box[0]
        return received

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            what = str(error).partition("\n")[0]
            raise LostError(f"rank {self.rank} lost another one, whose own words say why ({what})") from error


ALONE = Ranks()


def _packed(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _unpacked(packed: bytes) -> Any:
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=False)  # from a rank of our own
