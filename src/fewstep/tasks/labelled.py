"""Examples of classes, whatever they are made of, and the classification tasks over them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from fewstep.digest import digest
from fewstep.tasks import preflight
from fewstep.tasks.class_tasks import ClassTasks
from fewstep.tasks.columns import Encoding
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.preflight import Problem, counted
from fewstep.tasks.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Examples `x: [N, *input]`, those of a class together, and the classes of each split.

    Images in uint8, `[N, channels, height, width]`, become floats in [0, 1]; everything else is used as it is.
    """

    x: Tensor
    train: Sequence[ImageClass]
    val: Sequence[ImageClass]
    test: Sequence[ImageClass]
    noun: str = "example"
    """what one of them is called in errors"""
    problems: tuple[Problem, ...] = ()
    """what is wrong already; `tasks` raises them with its own findings"""
    notes: tuple[str, ...] = ()
    """what `tasks` tells whoever trains"""
    encoding: Encoding | None = None
    """how the rows of a table became these"""
    content: str = ""
    """a digest of the examples themselves, where the names of classes do not say what they are"""

    def tasks(self, *, ways: int = 5, shots: int = 1, queries: int = 5) -> Splits:
        """Train, val and test tasks; val is None, with a note, where too few classes are left for it.

        Raises `ValueError` with everything that is wrong, counted: classes too small for `shots + queries`, splits
        with fewer classes than `ways`, classes in two splits.
        """
        preflight.check_numbers(ways, shots, queries)
        splits = {"train": self.train, "val": self.val, "test": self.test}
        used = {split: classes for split, classes in splits.items() if split != "val" or len(classes) >= ways}
        small = preflight.too_small(used, shots=shots, queries=queries, noun=self.noun)
        preflight.refuse([*self.problems, preflight.too_few(used, ways), preflight.shared(splits), small])

        def over(split: str) -> ClassTasks | ImageTasks:
            classes = splits[split]
            if self.x.dtype == torch.uint8:
                images = self.x.numpy()
                return ImageTasks(split=split, images=images, classes=classes, ways=ways, shots=shots, queries=queries)
            return ClassTasks(split=split, x=self.x, classes=classes, ways=ways, shots=shots, queries=queries)

        return Splits(
            train=over("train"),
            val=over("val") if "val" in used else None,
            test=over("test"),
            summary={
                "tasks": f"{self.noun}s",
                "ways, shots, queries": [ways, shots, queries],
                "inputs": list(self.x.shape[1:]),
                "classes": {split: len(classes) for split, classes in splits.items()},
                "hash": digest(splits),
                **({"content": self.content} if self.content else {}),
            },
            notes=self.notes,
            unvalidated=preflight.without_validation(self.val, ways),
        )


def twins(x: npt.NDArray[Any], splits: Mapping[str, Sequence[ImageClass]], *, noun: str) -> tuple[str, ...]:
    """A note for every two splits that hold the same examples, value by value of `x: [N, *input]`."""
    held: dict[str, dict[bytes, str]] = {
        split: {hashlib.blake2b(x[i].tobytes(), digest_size=16).digest(): c.name for c in classes for i in _rows(c)}
        for split, classes in splits.items()
    }
    notes = []
    for a, b in combinations(held, 2):
        if common := sorted(held[a][found] for found in held[a].keys() & held[b].keys()):
            notes.append(
                f"{counted(len(common), noun)} of split '{a}' {'is' if len(common) == 1 else 'are'} also in split "
                f"'{b}', of class '{common[0]}' for one"
            )
    return tuple(notes)


def _rows(c: ImageClass) -> range:
    return range(c.start, c.start + c.size)
