"""Classification episodes by index arithmetic, a whole meta-batch at once.

Letters: T tasks, N images of a source, C classes of a split, K = shots + queries images drawn from a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewstep import seeding
from fewstep.core import Examples, Task
from fewstep.tasks import preflight
from fewstep.tasks.preprocessing import as_floats

Integers = npt.NDArray[np.int64]


class ImageClass(NamedTuple):
    """Images `start` to `start + size` of a source, turned counter-clockwise by `quarter_turns`."""

    name: str
    start: int
    size: int
    quarter_turns: int = 0


@dataclass(frozen=True, kw_only=True)
class ImageTasks:
    """N-way K-shot tasks over the classes of one split.

    `images: uint8 [N, channels, height, width]`. Pixels become floats in [0, 1]; `inverted` maps v to 1 − v.
    `random_turns` turns every class of a task by a random multiple of 90°.
    """

    split: str
    images: npt.NDArray[np.uint8]
    classes: Sequence[ImageClass]
    ways: int
    shots: int
    queries: int
    inverted: bool = False
    random_turns: bool = False

    def __post_init__(self) -> None:
        asked = {"ways": self.ways, "shots": self.shots, "queries": self.queries}
        preflight.check_split(self.split, self.classes, **asked, noun="image")

    @property
    def inputs(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return tuple(self.images.shape[1:])

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
        drawn = draw_episodes(rng, self._table, count, self.ways, self.shots + self.queries, self.random_turns)
        images = self.images[drawn.examples]
        for quarter_turns in (1, 2, 3):
            turned = drawn.turns == quarter_turns
            if turned.any():
                images[turned] = np.rot90(images[turned], quarter_turns, axes=(-2, -1))
        return task_of(as_floats(images, inverted=self.inverted), self.shots)

    @cached_property
    def _table(self) -> Integers:
        return table_of(self.classes)


class Episodes(NamedTuple):
    """What is drawn of a source: `examples: [T, ways, K]` by number, quarter `turns: [T, ways]` of the classes."""

    examples: Integers
    turns: Integers


def table_of(classes: Sequence[ImageClass]) -> Integers:
    """Start, size and quarter turns of every class: `[C, 3]`."""
    return np.array([[c.start, c.size, c.quarter_turns] for c in classes], dtype=np.int64)


def draw_episodes(
    rng: np.random.Generator, table: Integers, count: int, ways: int, each: int, random_turns: bool = False
) -> Episodes:
    """For `count` tasks `ways` distinct classes of `table: [C, 3]`, and of each class `each` distinct examples."""
    chosen = draw_classes(rng, len(table), count, ways)
    start, size, turns = np.moveaxis(table[chosen], -1, 0)
    if random_turns:
        turns = rng.integers(4, size=turns.shape)
    return Episodes(start[..., None] + draw_distinct(rng, size, each), turns)


def draw_classes(rng: np.random.Generator, classes: int, count: int, ways: int) -> Integers:
    """The numbers of the classes of `count` tasks, in the order of their labels: `[count, ways]`."""
    return draw_distinct(rng, np.full((count,), classes), ways)


def task_of(x: Tensor, shots: int) -> Task:
    """The meta-batch of `x: [T, ways, K, *input]`: the first `shots` examples of each class are its support."""

    def examples(x: Tensor) -> Examples:
        tasks, ways, each = x.shape[:3]
        labels = torch.arange(ways).repeat_interleave(each).expand(tasks, -1)
        return Examples(x.reshape(tasks, ways * each, *x.shape[3:]), labels)

    return Task(examples(x[:, :, :shots]), examples(x[:, :, shots:]))


def draw_distinct(rng: np.random.Generator, sizes: Integers, draws: int) -> Integers:
    """For every entry n of `sizes: [...]`, `draws` distinct numbers below n in random order: `[..., draws]`."""
    keys = rng.random((*sizes.shape, int(sizes.max())))
    keys[np.arange(keys.shape[-1]) >= sizes[..., None]] = 2.0  # above every key in [0, 1): never drawn
    smallest = np.argpartition(keys, draws - 1, axis=-1)[..., :draws]
    order = np.argsort(np.take_along_axis(keys, smallest, -1), axis=-1)
    return np.take_along_axis(smallest, order, -1)
