"""Tasks that a function makes: time series, simulators, anything with parameters of its own for every task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewstep import seeding
from fewstep.core import Examples, Task, map_tensors
from fewstep.digest import digest
from fewstep.tasks.grouped import Order
from fewstep.tasks.preflight import counted
from fewstep.tasks.splits import Splits

MakeTask = Callable[[np.random.Generator], tuple[Any, Any]]
"""From a generator of random numbers to the x: [N, *input] and y: [N], [N, D] or class ids [N] of one task."""

Array = npt.NDArray[Any]


class Made(NamedTuple):
    """What a function made: `x: [N, *input]` in float32; `y: [N, D]` in float32, or class ids `[N]`."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, kw_only=True)
class GeneratedTasks:
    """Tasks of `make`, each from the numbers of (seed, stream, step) that the ones before it have left."""

    make: MakeTask
    shots: int
    queries: int
    order: Order
    inputs: tuple[int, ...]
    """the shape of one input"""
    outputs: int
    """the number of classes, or of target dimensions"""
    is_classification: bool

    @property
    def class_names(self) -> list[str]:
        """None: tasks are generated."""
        return []

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """`count` tasks, one call of the function each."""
        rng = seeding.numpy_generator(seed, stream, step)
        tasks = [self._task(made_by(self.make, rng), rng) for _ in range(count)]
        return map_tensors(lambda *parts: torch.stack(parts), tasks[0], *tasks[1:])

    def _task(self, made: Made, rng: np.random.Generator) -> Task:
        found = _outputs(made)
        if (tuple(made.x.shape[1:]), found) != (self.inputs, self.outputs):
            raise ValueError(
                f"the function made a task with inputs of shape {list(made.x.shape[1:])} and {found} outputs after one "
                f"with {list(self.inputs)} and {self.outputs}: expected the same in every task"
            )
        rows = [torch.arange(len(made.y))]
        if self.is_classification:
            rows = [(made.y == label).nonzero()[:, 0] for label in range(self.outputs)]
        drawn = [of[self._places(len(of), rng)] for of in rows]
        support = torch.cat([of[: self.shots] for of in drawn])
        query = torch.cat([of[self.shots :] for of in drawn])
        return Task(Examples(made.x[support], made.y[support]), Examples(made.x[query], made.y[query]))

    def _places(self, size: int, rng: np.random.Generator) -> Tensor:
        each = self.shots + self.queries
        if size < each:
            needs = f"a task needs {each} ({counted(self.shots, 'shot')} + {counted(self.queries, 'query')})"
            if self.is_classification:
                raise ValueError(
                    f"the function made {counted(size, 'example')} of a class, {needs} of each of {self.outputs}; make "
                    f"more, or return y in floating point where it holds values, not class ids"
                )
            raise ValueError(f"the function made {counted(size, 'example')}, {needs}; make more")
        if self.order == "given":
            return torch.arange(each) + int(rng.integers(size - each + 1))
        return torch.from_numpy(rng.permutation(size)[:each])


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A function that makes tasks."""

    make: MakeTask

    def tasks(self, *, ways: int | None = None, shots: int = 5, queries: int = 10, order: Order = "random") -> Splits:
        """The same distribution three times; the splits differ in their streams of random numbers.

        `ways` are as many as the function makes, where it gives class ids. A task takes `shots` of the function's
        examples to adapt to and `queries` others (of every class, where there are classes): any, or with
        `order="given"` a run of them, the queries after the support, which is a forecast where the examples are in
        the order of time. For values train with `loss="mean_squared_error"`.

        Raises `ValueError` where a first task is not as expected, or is another one for the same random numbers.
        """
        if min(shots, queries) < 1:
            raise ValueError(f"a task needs shots ≥ 1 and queries ≥ 1, got shots={shots}, queries={queries}")
        made, again = (made_by(self.make, seeding.numpy_generator(0, "check")) for _ in range(2))
        if not all(torch.equal(a, b) for a, b in zip(made, again, strict=True)):
            raise ValueError(
                "the function made two tasks from the same random numbers: draw all of them from the generator that "
                "it is given, none from numpy.random, random or torch"
            )
        tasks = GeneratedTasks(
            make=self.make,
            shots=shots,
            queries=queries,
            order=order,
            inputs=tuple(made.x.shape[1:]),
            outputs=_outputs(made),
            is_classification=not made.y.is_floating_point(),
        )
        if ways not in (None, tasks.outputs if tasks.is_classification else None):
            made_are = f"{tasks.outputs} classes" if tasks.is_classification else "values, not class ids"
            raise ValueError(f"ways={ways}, but the function makes {made_are}; leave ways out")
        tasks.sample(0, "check", 0, 1)
        return Splits(
            tasks,
            tasks,
            tasks,
            {
                "tasks": f"made by {getattr(self.make, '__qualname__', type(self.make).__name__)}",
                "shots, queries": [shots, queries],
                "order": order,
                "inputs, outputs": [list(tasks.inputs), tasks.outputs],
                "hash": digest([f"{part.double().mean().item():.5g}" for part in made]),
            },
        )


def from_function(make: MakeTask) -> Generated:
    """Tasks from a function, for regression or classification; `.tasks(shots=..., queries=...)` follows.

    `make(rng)` takes a seeded `numpy.random.Generator` and returns the `x: [N, *input]` and `y` of one task: values
    `[N]` or `[N, D]`, or class ids `[N]`, which are 0 to ways − 1 in every task. Everything random in it comes from
    `rng`, so that task lists are functions of (seed, stream, step).
    """
    return Generated(make=make)


def made_by(make: MakeTask, rng: np.random.Generator) -> Made:
    """One task of `make`.

    Raises `ValueError` for what is not a pair of numbers of equal lengths.
    """
    pair = make(rng)
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise ValueError(f"the function returned a {type(pair).__name__}, expected a pair (x, y)")
    x, y = (torch.as_tensor(part) for part in pair)
    if x.dim() == 0 or x.shape[:1] != y.shape[:1] or y.dim() > 2:
        raise ValueError(
            f"the function made x of shape {list(x.shape)} and y of shape {list(y.shape)}: expected [N, ...] and "
            f"[N] or [N, D]"
        )
    x = x.float().reshape(len(x), *(x.shape[1:] or (1,)))
    y = y.float().reshape(len(y), -1) if y.is_floating_point() else y.long()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise ValueError("the function made values that are not finite")
    return Made(x, y)


def _outputs(made: Made) -> int:
    return made.y.shape[1] if made.y.is_floating_point() else int(made.y.max()) + 1
