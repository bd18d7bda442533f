"""Classification episodes over examples of any kind: feature vectors, sequences, images with values of their own.

Letters: N examples of a source, C classes of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.core import Task
from fewstep.tasks import preflight
from fewstep.tasks.episodes import ImageClass, Integers, draw_episodes, table_of, task_of


@dataclass(frozen=True, kw_only=True)
class ClassTasks:
    """N-way K-shot tasks over the classes of one split; `x: [N, *input]` is used as it is.

    Classes may have quarter turns where examples are `[channels, side, side]`.
    """

    split: str
    x: Tensor
    classes: Sequence[ImageClass]
    ways: int
    shots: int
    queries: int

    def __post_init__(self) -> None:
        asked = {"ways": self.ways, "shots": self.shots, "queries": self.queries}
        preflight.check_split(self.split, self.classes, **asked, noun="example")

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x.shape[1:])

    @property
    def outputs(self) -> int:
        """The number of ways."""
        return self.ways

    @property
    def class_names(self) -> list[str]:
        """Names without rotations, each once, in order."""
        return list(dict.fromkeys(c.name for c in self.classes))

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """`count` tasks: support x `[count, ways · shots, *inputs]` and y `[count, ways · shots]`, queries alike."""
        rng = seeding.numpy_generator(seed, stream, step)
        drawn = draw_episodes(rng, self._table, count, self.ways, self.shots + self.queries)
        x = self.x[torch.from_numpy(drawn.examples)]
        for quarter_turns in (1, 2, 3):
            turned = torch.from_numpy(drawn.turns == quarter_turns)
            if turned.any():
                x[turned] = x[turned].rot90(quarter_turns, (-2, -1))
        return task_of(x, self.shots)

    @cached_property
    def _table(self) -> Integers:
        return table_of(self.classes)
