"""A meta-batch of tasks through one function of a task: over threads, and in vectorised chunks."""

import copy
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.core import Task, map_tensors
from fewstep.model import Model

Output = TypeVar("Output", bound=Any)


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """`threads` workers, each taking `chunk` tasks at a time: 1 is the loop, more a vmap of that many tasks."""

    threads: int = 1
    chunk: int = 1

    def __post_init__(self) -> None:
        if min(self.threads, self.chunk) < 1:
            raise ValueError(f"a mapping needs threads ≥ 1 and chunk ≥ 1, got {self}")


class Workers:
    """A mapping at work. Use as a context manager.

    Every thread owns a deep copy of the model (functional_call swaps tensors on the module it is given) and runs
    one intra-op thread, the calling thread too; outputs come back in task order. So the result does not depend on
    the number of threads.
    """

    def __init__(self, model: Model, mapping: Mapping, *, seed: int = 0) -> None:
        if model.is_stochastic and mapping != Mapping():
            raise ValueError(
                f"a net that draws random numbers (dropout) needs Mapping(threads=1, chunk=1), got {mapping}"
            )
        self.mapping = mapping
        self._seed = seed if model.is_stochastic else None
        self._models: queue.SimpleQueue[Model] = queue.SimpleQueue()
        for _ in range(mapping.threads):
            self._models.put(copy.deepcopy(model))
        self._pool = ThreadPoolExecutor(mapping.threads, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> "Workers":
        self._intra_op_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._intra_op_threads)

    def map(self, function: Callable[[Model, Task], Output], tasks: Task, *, step: int = 0) -> Output:
        """`function` of each task, its tensors stacked to lead with `[T]`; `step` seeds dropout, if there is any."""
        count, chunk = len(tasks.support.x), self.mapping.chunk
        futures = [
            self._pool.submit(self._run, function, tasks.select(slice(first, first + chunk)), step * count + first)
            for first in range(0, count, chunk)
        ]
        outputs = [future.result() for future in futures]
        return map_tensors(lambda *parts: torch.cat(parts), *outputs)

    def _run(self, function: Callable[[Model, Task], Output], tasks: Task, draw: int) -> Output:
        model = self._models.get()
        try:
            if self._seed is not None:
                with seeding.seeded(self._seed, "dropout", draw):
                    return _looped(function, model, tasks)
            if self.mapping.chunk == 1:
                return _looped(function, model, tasks)
            return _vectorised(function, model, tasks)
        finally:
            self._models.put(model)


def _looped(function: Callable[[Model, Task], Output], model: Model, tasks: Task) -> Output:
    return map_tensors(lambda tensor: tensor[None], function(model, tasks.select(0)))


def _vectorised(function: Callable[[Model, Task], Output], model: Model, tasks: Task) -> Output:
    def one(task: Task) -> Output:
        return function(model, task)

    output: Output = torch.func.vmap(one)(tasks)
    return output


def mean_over_tasks(stacked: Output) -> Output:
    """The mean over the leading `[T]`, summed in task order."""

    def mean(tensor: Tensor) -> Tensor:
        total = tensor[0].clone()
        for task in tensor[1:]:
            total += task
        return total / len(tensor)

    return map_tensors(mean, stacked)
