"""Queries labelled by which class of the whole split they are of, for algorithms that first train one classifier.

Letters: T tasks, C classes of a split.
"""

from dataclasses import dataclass

import torch

from fewstep import seeding
from fewstep.core import Examples, Task
from fewstep.tasks.augmentation import Augmented
from fewstep.tasks.class_tasks import ClassTasks
from fewstep.tasks.episodes import ImageTasks, draw_classes
from fewstep.tasks.splits import Splits, Tasks


@dataclass(frozen=True, kw_only=True)
class ClassIds:
    """The tasks of `source`, the labels of whose queries are 0 to C − 1; support sets keep those of their task."""

    source: Tasks
    episodes: ImageTasks | ClassTasks
    """what `source` draws from"""

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.source.inputs

    @property
    def outputs(self) -> int:
        """C: every class of the split, turned ones apart."""
        return len(self.episodes.classes)

    @property
    def class_names(self) -> list[str]:
        """What the classes are made of."""
        return self.source.class_names

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """As the source's, but for the labels of the queries."""
        task = self.source.sample(seed, stream, step, count)
        rng = seeding.numpy_generator(seed, stream, step)  # whose first numbers chose the classes of these tasks
        chosen = torch.from_numpy(draw_classes(rng, self.outputs, count, self.episodes.ways))
        return Task(task.support, Examples(task.query.x, chosen.gather(1, task.query.y)))


def with_class_ids(splits: Splits) -> Splits:
    """The splits, training tasks with class ids.

    Raises `ValueError` where these tasks are not drawn from classes.
    """
    train = splits.train
    episodes = train.source if isinstance(train, Augmented) else train
    if not isinstance(episodes, ImageTasks | ClassTasks):
        raise ValueError(
            "these training tasks are not drawn from classes, and pre-training needs the class of each query"
        )
    return splits._replace(train=ClassIds(source=train, episodes=episodes))
