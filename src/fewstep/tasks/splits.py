"""What a source of tasks offers, and its three disjoint splits."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from fewstep import seeding
from fewstep.core import Task
from fewstep.tasks.preprocessing import Preprocessing

Item = TypeVar("Item")


class Tasks(Protocol):
    """Tasks drawn from a distribution, a meta-batch at a time."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one input."""
        ...

    @property
    def outputs(self) -> int:
        """The number of ways, or of target dimensions."""
        ...

    @property
    def class_names(self) -> list[str]:
        """What the classes are made of, without rotations; empty where tasks are generated."""
        ...

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """A meta-batch of `count` tasks, a pure function of the arguments; its tensors lead with `[count]`."""
        ...


class Splits(NamedTuple):
    """Tasks to train on, to select by (None where a protocol has no such classes), and to report."""

    train: Tasks
    val: Tasks | None
    test: Tasks
    summary: dict[str, object]
    """What `data show` prints and `recipe.json` keeps: protocol, sizes and hashes."""
    overlap: str = ""
    """Why train and val share classes, where a protocol says so by definition."""
    preprocessing: Preprocessing | None = None
    """What became of the images; None where the inputs are none."""
    notes: tuple[str, ...] = ()
    """What whoever trains on these should know: a sentence each."""
    unvalidated: str = ""
    """Why there is no val, where the data have classes for it."""

    def told(self) -> tuple[str, ...]:
        """The notes, and that there is no validation."""
        return (*self.notes, self.unvalidated) if self.val is None and self.unvalidated else self.notes


class Shares(NamedTuple, Generic[Item]):
    """The classes, or other items, of each split."""

    train: Sequence[Item]
    val: Sequence[Item]
    test: Sequence[Item]


def split_at_random(items: Sequence[Item], held_out: tuple[float, float], seed: int) -> Shares[Item]:
    """The shares `held_out` of the items become val and test, chosen by `seed`; the rest trains.

    Raises `ValueError` for shares that leave nothing to train on.
    """
    if min(held_out) < 0 or sum(held_out) >= 1:
        raise ValueError(f"held_out={held_out}: expected the shares of val and test, 0 or more and below 1 together")
    order = seeding.numpy_generator(seed, "images/split").permutation(len(items))
    shuffled = [items[i] for i in order]
    val, test = (round(share * len(items)) for share in held_out)
    return Shares(shuffled[val + test :], shuffled[:val], shuffled[val : val + test])
