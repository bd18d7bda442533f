"""The embedded data set: handwritten-looking alphabets drawn procedurally, made in seconds, no network."""

from dataclasses import dataclass
from pathlib import Path

from fewstep.digest import digest
from fewstep.tasks.cache import NamedClasses, cached
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tasks.splits import Splits
from fewstep.tasks.stroke_drawing import draw_alphabets

DRAWING = 1
"""Counts the changes of what is drawn, so that an old cache is not taken for new."""


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """N-way tasks over procedural alphabets; train, val and test have alphabets of their own."""

    ways: int = 5
    """classes a task"""
    shots: int = 1
    """support images a class"""
    queries: int = 1
    """query images a class"""
    train_alphabets: int = 25
    """alphabets to train on"""
    val_alphabets: int = 5
    """alphabets to select by"""
    test_alphabets: int = 20
    """alphabets to test on"""
    drawers: int = 20
    """drawers, hence images, of each character"""
    size: int = 28
    """height and width in pixels"""
    drawing_seed: int = 0
    """seed of the drawings"""
    rotations: bool = False
    """make every quarter turn of a character a class of its own, in training only"""

    @property
    def preprocessing(self) -> Preprocessing:
        """What a drawing or photo, black ink on white paper, goes through to look like these."""
        return Preprocessing(size=self.size, color="L")

    def build(self, data_root: Path | None = None) -> Splits:
        """The three splits; `data_root` is not read."""
        counts = (self.train_alphabets, self.val_alphabets, self.test_alphabets)
        key = {"seed": self.drawing_seed, "alphabets": sum(counts), "drawers": self.drawers, "size": self.size}
        drawn = cached("strokes", {**key, "drawing": DRAWING}, self._draw)
        first = [0, counts[0], counts[0] + counts[1], sum(counts)]
        train, val, test = (
            self._tasks(drawn, split, range(first[i], first[i + 1])) for i, split in enumerate(("train", "val", "test"))
        )
        names = {tasks.split: tasks.class_names for tasks in (train, val, test)}
        summary: dict[str, object] = {
            "tasks": "strokes",
            "ways, shots, queries": [self.ways, self.shots, self.queries],
            "size": self.size,
            "classes": {tasks.split: len(tasks.classes) for tasks in (train, val, test)},
            "hash": digest(names),
            "drawing": DRAWING,
        }
        return Splits(train, val, test, summary, preprocessing=self.preprocessing)

    def _draw(self) -> NamedClasses:
        alphabets = self.train_alphabets + self.val_alphabets + self.test_alphabets
        return draw_alphabets(self.drawing_seed, alphabets, drawers=self.drawers, size=self.size)

    def _tasks(self, drawn: NamedClasses, split: str, alphabets: range) -> ImageTasks:
        chosen = [i for i, name in enumerate(drawn.names) if alphabet_number(name) in alphabets]
        turns = range(4) if self.rotations and split == "train" else range(1)
        return ImageTasks(
            split=split,
            images=drawn.images.reshape(-1, 1, self.size, self.size),
            classes=[
                ImageClass(drawn.names[i], i * self.drawers, self.drawers, turn) for i in chosen for turn in turns
            ],
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
        )


def alphabet_number(name: str) -> int:
    """7 of `alphabet07/character12`."""
    return int(name.split("/")[0].removeprefix("alphabet"))
