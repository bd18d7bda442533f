"""What a meta-gradient keeps in memory, foretold from its first inner steps, beside what there is."""

import contextlib
import copy
import dataclasses
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.algorithm import Algorithm
from fewstep.core import Task, tensors_of
from fewstep.learner import Learner
from fewstep.mapping import Mapping

logger = logging.getLogger(__name__)

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
LAST = 10**9
"""An update behind all that an algorithm anneals."""


def warn_if_too_large(learner: Learner, batch: Task, mapping: Mapping) -> None:
    """Say so, before the first update, where the graphs of the tasks at work may not fit."""
    available = available_bytes(learner.device)
    if available is None:
        return
    at_work = min(mapping.threads * mapping.chunk, len(batch.support.x))
    needed = at_work * estimated_bytes(learner, batch.select(0))
    if needed > available:
        ways = "take fewer threads or smaller chunks" if at_work > 1 else "take a smaller net or fewer examples"
        if getattr(learner.algorithm, "recompute", True) is False:
            ways += ", or set algorithm.recompute, which keeps one inner step at a time"
        logger.warning(
            "memory: about %.1f GB for %d task(s) at a time, and %.1f GB are free; %s",
            *(needed / 1e9, at_work, available / 1e9, ways),
        )


def estimated_bytes(learner: Learner, task: Task) -> int:
    """The most bytes that the graphs of one task's meta-gradient hold at once.

    Measured at one and at two inner steps and extended to all of them, where the algorithm has that number as a
    setting; what a layer needs in passing is left out.
    """
    steps = learner.algorithm.inner_steps
    if steps <= 2 or not _sets_steps(learner.algorithm):
        return held_bytes(learner, task)
    one, two = (held_bytes(_with_steps(learner, few), task) for few in (1, 2))
    kept = sum(tensor.nbytes for tensor in tensors_of(learner.meta.learned))  # φ_i, which is no part of any graph
    return one + (steps - 1) * max(two - one, kept)


def available_bytes(device: torch.device) -> int | None:
    """What the device has left, or this process may still take; None where that cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [value for value in (_free_of_machine(), _left_by_cgroup()) if value is not None]
    return min(known, default=None)


def _sets_steps(algorithm: Algorithm) -> bool:
    """Whether another number of inner steps can be put in, as it cannot where another algorithm's is passed on."""
    return dataclasses.is_dataclass(algorithm) and "inner_steps" in {
        part.name for part in dataclasses.fields(algorithm)
    }


def _with_steps(learner: Learner, steps: int) -> Learner:
    algorithm: Any = dataclasses.replace(learner.algorithm, inner_steps=steps)  # type: ignore[type-var]
    meta = algorithm.init(learner.model, torch.Generator())
    return dataclasses.replace(learner, algorithm=algorithm, meta=meta)


def held_bytes(learner: Learner, task: Task) -> int:
    """The most bytes that graphs hold at once while one task's meta-gradient is computed, of any derivative order."""
    updates = {learner.algorithm.order_at(update): update for update in (LAST, 0)}
    return max(_held_at(learner, task, update) for update in updates.values())


def _held_at(learner: Learner, task: Task, update: int) -> int:
    held, model = _Held(), copy.deepcopy(learner.model)  # not its own: a forward may count its calls
    hooks = torch.autograd.graph.saved_tensors_hooks(held.keep, lambda kept: kept.tensor)
    with seeding.seeded(0, "memory"), hooks:
        learner.algorithm.meta_gradient(model, learner.meta, task, update)
    return held.most


class _Held:
    """Bytes of the distinct tensors that live graphs keep, and the most there were at once."""

    def __init__(self) -> None:
        self.most = self._now = 0
        self._users: dict[int, int] = {}

    def keep(self, tensor: Tensor) -> "_Kept":
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        self._users[key] = self._users.get(key, 0) + 1
        if self._users[key] == 1:
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
        return _Kept(tensor, self)

    def let_go(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._now -= storage.nbytes()


class _Kept:
    def __init__(self, tensor: Tensor, held: _Held) -> None:
        self.tensor, self._held = tensor, held

    def __del__(self) -> None:
        self._held.let_go(self.tensor)


def _free_of_machine() -> int | None:
    with contextlib.suppress(OSError):
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def _left_by_cgroup() -> int | None:
    """Of control groups, version 2: containers have one. Cached files give way."""
    try:
        limit, used, stat = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current", "stat"))
    except OSError:
        return None
    cached = next((int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file ")), 0)
    return None if limit == "max" else max(int(limit) - int(used) + cached, 0)
