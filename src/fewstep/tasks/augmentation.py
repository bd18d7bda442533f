"""More training tasks than there are: turned classes, shifted, mirrored and noisy inputs, a meta-batch at a time."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fewstep import seeding
from fewstep.core import Examples, Task
from fewstep.tasks.class_tasks import ClassTasks
from fewstep.tasks.episodes import ImageTasks
from fewstep.tasks.splits import Splits, Tasks


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to training tasks, never to those of validation and test; nothing by default."""

    rotations: bool = False
    """make every quarter turn of a class of images a class of its own"""
    crop: int = 0
    """crop images at random after so many pixels of padding on each side, which repeat the border"""
    flip: bool = False
    """mirror every image left to right, or not, at random"""
    noise: float = 0.0
    """standard deviation of Gaussian noise on all inputs (pixels are in 0 to 1)"""

    def __post_init__(self) -> None:
        if min(self.crop, self.noise) < 0:
            raise ValueError(f"augmentation needs crop ≥ 0 and noise ≥ 0, got {self.crop} and {self.noise}")


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """The tasks of `source` with crops, flips and noise drawn from (seed, stream, step), for every example its own."""

    source: Tasks
    augmentation: Augmentation

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.source.inputs

    @property
    def outputs(self) -> int:
        """The number of ways, or of target dimensions."""
        return self.source.outputs

    @property
    def class_names(self) -> list[str]:
        """What the classes are made of."""
        return self.source.class_names

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """As the source's, but for the inputs."""
        task = self.source.sample(seed, stream, step, count)
        rngs = [seeding.numpy_generator(seed, f"{stream}/augmentation/{part}", step) for part in Task._fields]
        support, query = (
            Examples(self._changed(examples.x, rng), examples.y) for examples, rng in zip(task, rngs, strict=True)
        )
        return Task(support, query)

    def _changed(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        if self.augmentation.crop:
            x = cropped(x, self.augmentation.crop, rng)
        if self.augmentation.flip:
            mirrored = torch.from_numpy(rng.integers(2, size=x.shape[:2]) == 1)
            x = torch.where(mirrored[..., None, None, None], x.flip(-1), x)
        if self.augmentation.noise:
            x = x + self.augmentation.noise * torch.from_numpy(rng.standard_normal(x.shape, np.float32)).to(x.dtype)
        return x


def cropped(x: Tensor, padding: int, rng: np.random.Generator) -> Tensor:
    """Every image of `x: [T, N, channels, height, width]` moved by up to `padding` pixels in either direction.

    What comes in from outside repeats the border.
    """
    height, width = x.shape[-2:]
    moves = torch.from_numpy(rng.integers(-padding, padding + 1, size=(2, *x.shape[:2])))
    rows, columns = (
        (torch.arange(side) + move[..., None]).clamp(0, side - 1)
        for side, move in zip((height, width), moves, strict=True)
    )
    x = x.gather(-2, rows[:, :, None, :, None].expand(x.shape))
    return x.gather(-1, columns[:, :, None, None, :].expand(x.shape))


def augmented(splits: Splits, augmentation: Augmentation) -> Splits:
    """The splits with their training tasks augmented; the same where there is nothing to do.

    Raises `ValueError` where the tasks have no images, or no classes, for a field that needs them.
    """
    if augmentation == Augmentation():
        return splits
    inputs = splits.train.inputs
    needs_images = [name for name in ("rotations", "crop", "flip") if getattr(augmentation, name)]
    if needs_images and len(inputs) != 3:
        raise ValueError(
            f"augmentation.{needs_images[0]} needs images (channels, height, width), but these tasks have inputs of "
            f"shape {inputs}; leave it out"
        )
    train = _turned(splits.train) if augmentation.rotations else splits.train
    if augmentation != Augmentation(rotations=augmentation.rotations):
        train = Augmented(source=train, augmentation=augmentation)
    return splits._replace(train=train, summary={**splits.summary, "augmentation": dataclasses.asdict(augmentation)})


def _turned(tasks: Tasks) -> ImageTasks | ClassTasks:
    if not isinstance(tasks, ImageTasks | ClassTasks):
        raise ValueError("augmentation.rotations makes new classes, and these tasks have none; leave it out")
    _, height, width = tasks.inputs
    if height != width:
        raise ValueError(f"augmentation.rotations needs images as high as wide, got {height} × {width}")
    if any(c.quarter_turns for c in tasks.classes) or (isinstance(tasks, ImageTasks) and tasks.random_turns):
        raise ValueError("augmentation.rotations: the classes of these tasks are turned already; leave it out")
    return dataclasses.replace(
        tasks, classes=[c._replace(quarter_turns=turns) for c in tasks.classes for turns in range(4)]
    )
