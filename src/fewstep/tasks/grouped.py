"""Examples with values, whose groups are the tasks: regression on shops, patients, sensors, simulated systems.

Letters: N examples of a source, G groups of a split, D values of an example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fewstep import seeding
from fewstep.core import Examples, Task
from fewstep.digest import digest
from fewstep.tasks import preflight
from fewstep.tasks.columns import Encoding
from fewstep.tasks.episodes import Integers, draw_distinct
from fewstep.tasks.preflight import Problem
from fewstep.tasks.splits import Splits

Order = Literal["random", "given"]
"""random: support and queries are any examples of a task; given: a run of them, the queries after the support."""


class Group(NamedTuple):
    """Examples `start` to `start + size` of a source, which are one task's."""

    name: str
    start: int
    size: int


@dataclass(frozen=True, kw_only=True)
class GroupTasks:
    """Regression tasks, each over the examples of one group: `x: [N, *input]`, `y: [N, D]`."""

    split: str
    x: Tensor
    y: Tensor
    groups: Sequence[Group]
    shots: int
    queries: int
    order: Order = "random"

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x.shape[1:])

    @property
    def outputs(self) -> int:
        """D, the values of an example."""
        return self.y.shape[1]

    @property
    def class_names(self) -> list[str]:
        """The names of the groups: none may be in two splits."""
        return [group.name for group in self.groups]

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """`count` tasks, groups drawn with replacement: x `[count, shots or queries, *inputs]`, y `[..., D]`."""
        rng = seeding.numpy_generator(seed, stream, step)
        start, size = self._table[rng.integers(len(self.groups), size=count)].T
        each = self.shots + self.queries
        if self.order == "random":
            places = draw_distinct(rng, size, each)
        else:
            places = rng.integers(size - each + 1)[:, None] + np.arange(each)
        rows = torch.from_numpy(start[:, None] + places)
        x, y = self.x[rows], self.y[rows]
        support = Examples(x[:, : self.shots], y[:, : self.shots])
        return Task(support, Examples(x[:, self.shots :], y[:, self.shots :]))

    @cached_property
    def _table(self) -> Integers:
        """Start and size of every group: `[G, 2]`."""
        return np.array([[group.start, group.size] for group in self.groups], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """Examples `x: [N, *input]` with values `y: [N, D]`, those of a group together, and the groups of each split."""

    x: Tensor
    y: Tensor
    train: Sequence[Group]
    val: Sequence[Group]
    test: Sequence[Group]
    noun: str = "example"
    """what one of them is called in errors"""
    problems: tuple[Problem, ...] = ()
    """what is wrong already; `tasks` raises it with its own findings"""
    encoding: Encoding | None = None
    """how the rows of a table became these"""
    content: str = ""
    """a digest of the examples themselves"""

    def tasks(self, *, shots: int = 5, queries: int = 10, order: Order = "random") -> Splits:
        """Train, val and test tasks over the groups; val is None where it has no group.

        With `order="given"` a task is a run of examples as they were given, the queries after the support: a
        forecast, where the examples of a group were given in the order of time. Train with
        `loss="mean_squared_error"`.

        Raises `ValueError` with everything that is wrong, counted: groups too small for `shots + queries`, groups in
        two splits, a split without groups.
        """
        if min(shots, queries) < 1:
            raise ValueError(f"a task needs shots ≥ 1 and queries ≥ 1, got shots={shots}, queries={queries}")
        splits = {"train": self.train, "val": self.val, "test": self.test}
        empty = [f"split '{split}' has no group" for split in ("train", "test") if not splits[split]]
        small = preflight.too_small(splits, shots=shots, queries=queries, what="group", noun=self.noun)
        both = preflight.shared(splits, what="group")
        preflight.refuse([*self.problems, Problem(empty, "give more groups, or other shares held out"), both, small])
        train, val, test = (
            GroupTasks(split=split, x=self.x, y=self.y, groups=groups, shots=shots, queries=queries, order=order)
            for split, groups in splits.items()
        )
        return Splits(
            train,
            val if self.val else None,
            test,
            {
                "tasks": f"groups of {self.noun}s",
                "shots, queries": [shots, queries],
                "order": order,
                "inputs, outputs": [list(self.x.shape[1:]), self.y.shape[1]],
                "groups": {split: len(groups) for split, groups in splits.items()},
                "hash": digest(splits),
                "content": self.content,
            },
        )
