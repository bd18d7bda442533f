"""A meta-batch of tasks through one function of a task: over ranks, over threads, and in vectorised chunks."""

import contextlib
import copy
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.allocation import keep_freed_memory
from fewstep.core import Task, map_tensors, tensors_of, with_tensors
from fewstep.model import Model
from fewstep.ranks import ALONE, Ranks
from fewstep.tracing import Execution, traced

Given = TypeVar("Given", bound=Any)
Output = TypeVar("Output", bound=Any)

MOST_GRAPHS = 8
"""That are kept: the inputs of a phase may have a few shapes and layouts."""


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """`threads` workers, each taking `chunk` tasks at a time: 1 is the loop, more a vmap of that many tasks.

    `execution` is that of meta-gradients; what is tested runs as written.
    """

    threads: int = 1
    chunk: int = 1
    execution: Execution = "eager"

    def __str__(self) -> str:
        """`2 threads, chunks of 4 tasks`, and whether it is traced or compiled."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        chunks = "task by task" if self.chunk == 1 else f"chunks of {self.chunk} tasks"
        return f"{threads}, {chunks}" if self.execution == "eager" else f"{threads}, {chunks}, {self.execution}"

    def __post_init__(self) -> None:
        if min(self.threads, self.chunk) < 1:
            raise ValueError(f"a mapping needs threads ≥ 1 and chunk ≥ 1, got {self}")
        if self.execution not in get_args(Execution):
            raise ValueError(f"execution={self.execution!r}: expected one of {', '.join(get_args(Execution))}")
        if self.execution == "compiled" and self.threads > 1:
            raise ValueError(f"a compiled mapping has threads of its own: expected threads=1, got {self.threads}")


class Workers:
    """A mapping at work. Use as a context manager.

    Every thread owns a deep copy of the model (functional_call swaps tensors on the module it is given) and runs
    one intra-op thread, the calling thread too; outputs come back in task order. So the result does not depend on
    the number of threads. With several `ranks` each takes its share of the tasks, and all get the same result.

    `asks` are questions on which all ranks must act alike: `asked` tells which of them any rank answers with yes.
    """

    def __init__(
        self,
        model: Model,
        mapping: Mapping,
        *,
        seed: int = 0,
        ranks: Ranks = ALONE,
        asks: Sequence[Callable[[], bool]] = (),
    ) -> None:
        if model.is_stochastic and mapping != Mapping():
            raise ValueError(
                f"a net that draws random numbers (dropout) needs Mapping(threads=1, chunk=1), got {mapping}"
            )
        self.mapping, self._ranks = mapping, ranks
        self._asks, self._heard = asks, [False] * len(asks)
        self._graphs: dict[Hashable, Callable[[Any], Any]] = {}
        self._tracing = threading.Lock()
        self._seed = seed if model.is_stochastic else None
        self._models: queue.SimpleQueue[Model] = queue.SimpleQueue()
        for _ in range(mapping.threads):
            self._models.put(copy.deepcopy(model))
        self._pool = ThreadPoolExecutor(mapping.threads, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> "Workers":
        keep_freed_memory()
        self._intra_op_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._pool.shutdown(cancel_futures=True)
        finally:
            torch.set_num_threads(self._intra_op_threads)

    def map(self, function: Callable[[Model, Task], Output], tasks: Task, *, step: int = 0) -> Output:
        """`function` of each task, its tensors stacked to lead with `[T]`; `step` seeds dropout, if there is any."""
        run = partial(self._run, _looped if self.mapping.chunk == 1 else _vectorised, function)
        parts = self._share(run, tasks, step, lambda part: part[:0])
        share = map_tensors(lambda *tensors: torch.cat(tensors), *parts)
        gathered: Output = self._ranks.gather(share, len(tasks.support.x))
        return gathered

    def mean(
        self,
        function: Callable[[Model, Given, Task], Output],
        given: Given,
        tasks: Task,
        *,
        step: int = 0,
        phase: Hashable = None,
    ) -> Output:
        """The mean over tasks of `function` of each: summed in task order on every rank, then over ranks at once.

        Added up as tasks are done, so that no more of them are held than are at work. `given` holds all tensors that
        `function` reads besides, and `phase` tells apart functions and all else that they depend on: a traced one runs
        again for its like, whatever Python it was traced from.
        """
        over_chunk = _alone if self.mapping.chunk == 1 else _summed
        if self.mapping.execution == "eager":
            run = partial(self._run, over_chunk, lambda model, task: function(model, given, task))
        else:
            run = partial(self._run_again, over_chunk, function, given, phase)
        total = sum_of(self._share(run, tasks, step, torch.zeros_like))
        if self._ranks.count > 1:
            votes = tasks.support.x.new_tensor(self._answers(), dtype=torch.float64)
            total, votes = self._ranks.sum((total, votes))
            self._heard = [vote > 0 for vote in votes.tolist()]
        mean: Output = with_tensors(total, torch._foreach_div(tensors_of(total), len(tasks.support.x)))
        return mean

    def asked(self) -> list[bool]:
        """Which of `asks` hold now; with several ranks which held on any of them at the last `mean`, as all know."""
        return self._heard if self._ranks.count > 1 else self._answers()

    def _answers(self) -> list[bool]:
        return [ask() for ask in self._asks]

    def _share(
        self, run: Callable[[Task, int], Output], tasks: Task, step: int, nothing: Callable[[Tensor], Tensor]
    ) -> Iterator[Output]:
        """`run` of the tasks that are this rank's, in order, chunk by chunk; `nothing` of one where there are none."""
        count, chunk = len(tasks.support.x), self.mapping.chunk
        places = self._ranks.places(count)
        done = places or range(1)  # a rank without a task learns the shapes from the first one
        mine = tasks if len(done) == count else tasks.select(slice(done.start, done.stop, done.step))
        firsts = range(0, len(done), chunk)
        chunks = (
            (mine.select(slice(i, i + chunk)) if len(firsts) > 1 else mine, step * count + done[i]) for i in firsts
        )
        outputs = itertools.starmap(run, chunks) if self.mapping.threads == 1 else self._on_threads(run, chunks)
        for output in outputs:
            yield output if places else map_tensors(nothing, output)

    def _on_threads(self, run: Callable[[Task, int], Output], chunks: Iterable[tuple[Task, int]]) -> Iterator[Output]:
        """`run` of every chunk, in their order; no more wait than keep the threads busy."""
        at_work: deque[Future[Output]] = deque()
        for chunk in chunks:
            if len(at_work) == 2 * self.mapping.threads:
                yield at_work.popleft().result()
            at_work.append(self._pool.submit(run, *chunk))
        for future in at_work:
            yield future.result()

    def _run(
        self,
        over_chunk: Callable[[Callable[[Model, Task], Output], Model, Task], Output],
        function: Callable[[Model, Task], Output],
        chunk: Task,
        draw: int,
    ) -> Output:
        with self._model() as model:
            if self._seed is None:
                return over_chunk(function, model, chunk)
            with seeding.seeded(self._seed, "dropout", draw):
                return over_chunk(function, model, chunk)

    def _run_again(
        self,
        over_chunk: Callable[[Callable[[Model, Task], Output], Model, Task], Output],
        function: Callable[[Model, Given, Task], Output],
        given: Given,
        phase: Hashable,
        chunk: Task,
        _: int,
    ) -> Output:
        """The same by a graph, which is traced for the first chunk of its like."""
        inputs = (given, chunk)
        key = (phase, *((t.shape, t.stride(), t.dtype, t.device) for t in tensors_of(inputs)))
        with self._tracing:
            if key not in self._graphs:
                if len(self._graphs) == MOST_GRAPHS:  # phases come and go
                    del self._graphs[next(iter(self._graphs))]
                with self._model() as model:
                    self._graphs[key] = traced(
                        lambda both: over_chunk(lambda model, task: function(model, both[0], task), model, both[1]),
                        inputs,
                        is_compiled=self.mapping.execution == "compiled",
                    )
            graph = self._graphs[key]
        outputs: Output = graph(inputs)
        return outputs

    @contextlib.contextmanager
    def _model(self) -> Iterator[Model]:
        model = self._models.get()
        try:
            yield model
        finally:
            self._models.put(model)


def _alone(function: Callable[[Model, Task], Output], model: Model, tasks: Task) -> Output:
    """Of the only task."""
    return function(model, tasks.select(0))


def _looped(function: Callable[[Model, Task], Output], model: Model, tasks: Task) -> Output:
    return map_tensors(lambda tensor: tensor[None], _alone(function, model, tasks))


def _vectorised(function: Callable[[Model, Task], Output], model: Model, tasks: Task) -> Output:
    def one(task: Task) -> Output:
        return function(model, task)

    output: Output = torch.func.vmap(one)(tasks)
    return output


def _summed(function: Callable[[Model, Task], Output], model: Model, tasks: Task) -> Output:
    return map_tensors(lambda tensor: tensor.sum(0), _vectorised(function, model, tasks))


def sum_of(parts: Iterable[Output]) -> Output:
    """The sum of one or more trees, in their order."""
    parts = iter(parts)
    total = next(parts)
    for part in parts:
        total = with_tensors(total, torch._foreach_add(tensors_of(total), tensors_of(part)))
    return total
