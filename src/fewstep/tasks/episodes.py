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
        if self.ways < 2 or min(self.shots, self.queries) < 1:
            raise ValueError(
                f"a task needs ways ≥ 2, shots ≥ 1 and queries ≥ 1, "
                f"got ways={self.ways}, shots={self.shots}, queries={self.queries}"
            )
        if self.ways > len(self.classes):
            raise ValueError(
                f"ways={self.ways} but split '{self.split}' has {len(self.classes)} classes; lower tasks.ways"
            )
        small = [c for c in self.classes if c.size < self.shots + self.queries]
        if small:
            others = f" (and {len(small) - 1} more classes)" if len(small) > 1 else ""
            needs = f"{self.shots + self.queries} ({_count(self.shots, 'shot')} + {_count(self.queries, 'query')})"
            raise ValueError(
                f"class '{small[0].name}' of split '{self.split}' has {small[0].size} images, needs {needs}{others}; "
                f"lower tasks.shots or tasks.queries, or leave the class out"
            )

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
        chosen = draw_distinct(rng, np.full((count,), len(self.classes)), self.ways)
        start, size, turns = np.moveaxis(self._table[chosen], -1, 0)
        if self.random_turns:
            turns = rng.integers(4, size=turns.shape)
        examples = draw_distinct(rng, size, self.shots + self.queries)
        images = self.images[start[..., None] + examples]
        for quarter_turns in (1, 2, 3):
            turned = turns == quarter_turns
            if turned.any():
                images[turned] = np.rot90(images[turned], quarter_turns, axes=(-2, -1))
        pixels = as_floats(images, inverted=self.inverted)
        return Task(self._examples(pixels[:, :, : self.shots]), self._examples(pixels[:, :, self.shots :]))

    @cached_property
    def _table(self) -> Integers:
        """Start, size and quarter turns of every class: `[C, 3]`."""
        return np.array([[c.start, c.size, c.quarter_turns] for c in self.classes], dtype=np.int64)

    def _examples(self, pixels: Tensor) -> Examples:
        tasks, ways, each = pixels.shape[:3]
        labels = torch.arange(ways).repeat_interleave(each).expand(tasks, -1)
        return Examples(pixels.reshape(tasks, ways * each, *pixels.shape[3:]), labels)


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def draw_distinct(rng: np.random.Generator, sizes: Integers, draws: int) -> Integers:
    """For every entry n of `sizes: [...]`, `draws` distinct numbers below n in random order: `[..., draws]`."""
    keys = rng.random((*sizes.shape, int(sizes.max())))
    keys[np.arange(keys.shape[-1]) >= sizes[..., None]] = 2.0  # above every key in [0, 1): never drawn
    smallest = np.argpartition(keys, draws - 1, axis=-1)[..., :draws]
    order = np.argsort(np.take_along_axis(keys, smallest, -1), axis=-1)
    return np.take_along_axis(smallest, order, -1)
