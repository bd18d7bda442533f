"""Tasks whose support sets come in random order, as algorithms that read them in mini-batches need."""

from dataclasses import dataclass

import numpy as np
import torch

from fewstep import seeding
from fewstep.core import Examples, Task
from fewstep.tasks.splits import Splits, Tasks


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """The tasks of `source`, every support set in an order of its own, drawn from (seed, stream, step)."""

    source: Tasks

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
        """As the source's, but for the order of the support sets."""
        task = self.source.sample(seed, stream, step, count)
        rng = seeding.numpy_generator(seed, f"{stream}/order", step)
        order = torch.from_numpy(np.argsort(rng.random(task.support.x.shape[:2]), axis=1))
        every = torch.arange(count)[:, None]
        return Task(Examples(task.support.x[every, order], task.support.y[every, order]), task.query)


def shuffled(splits: Splits) -> Splits:
    """All splits with their support sets in random order."""
    train, val, test = (None if tasks is None else Shuffled(source=tasks) for tasks in splits[:3])
    assert train is not None
    assert test is not None
    return splits._replace(train=train, val=val, test=test)
