"""One's own images: a folder of class folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from fewstep.tasks.decoding import decode_all
from fewstep.tasks.episodes import ImageClass
from fewstep.tasks.labelled import Labelled, twins
from fewstep.tasks.preflight import Problem
from fewstep.tasks.preprocessing import Color, Preprocessing, class_folders, image_files
from fewstep.tasks.splits import Splits, split_at_random


@dataclass(frozen=True, kw_only=True)
class Images:
    """Decoded images `uint8 [N, channels, size, size]`, and the classes of each split."""

    pixels: npt.NDArray[np.uint8]
    train: Sequence[ImageClass]
    val: Sequence[ImageClass]
    test: Sequence[ImageClass]
    problems: tuple[Problem, ...] = ()
    """what is wrong with the files; `tasks` raises it with its own findings"""
    notes: tuple[str, ...] = ()
    """what `tasks` tells whoever trains"""
    preprocessing: Preprocessing | None = None
    """what became of the image files"""

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        size: int = 28,
        color: Color = "RGB",
        held_out: tuple[float, float] = (0.15, 0.25),
        seed: int = 0,
    ) -> "Images":
        """Read `folder/CLASS/IMAGE`, or `folder/{train,val,test}/CLASS/IMAGE`.

        Without split folders, the shares `held_out` of the classes become val and test, chosen by `seed`. Images of
        any size and mode are converted to `color` and resized to `size` × `size`. Files that do not decode are left
        out and become `problems`, which `tasks` raises with everything else that is wrong.

        Raises `ValueError` for a folder without classes.
        """
        root = Path(folder)
        folders: dict[str, Sequence[Path]] = {split: class_folders(root / split) for split in ("train", "val", "test")}
        if not folders["train"]:
            shares = split_at_random(class_folders(root), held_out, seed)
            folders = {"val": shares.val, "test": shares.test, "train": shares.train}  # an order that hashes depend on
        if not (folders["train"] and folders["test"]):
            where = "" if root.is_dir() else f"; there is no folder {root.absolute()}"
            raise ValueError(
                f"{root} has too few class folders with images: expected {root}/CLASS/IMAGE, "
                f"or {root}/train/CLASS/IMAGE and {root}/test/CLASS/IMAGE{where}"
            )
        files = {found: image_files(found) for of_split in folders.values() for found in of_split}
        preprocessing = Preprocessing(size=size, color=color)
        decoded = decode_all([file for found in files.values() for file in found], preprocessing)
        start = 0
        classes: dict[str, list[ImageClass]] = {split: [] for split in folders}
        for split, of_split in folders.items():
            for found in of_split:
                images = sum(file in decoded.whole for file in files[found])
                classes[split].append(ImageClass(found.name, start, images))
                start += images
        return cls(
            pixels=decoded.pixels,
            **classes,
            problems=(Problem(decoded.errors),),
            notes=twins(decoded.pixels, classes, noun="image"),
            preprocessing=preprocessing,
        )

    def tasks(self, *, ways: int = 5, shots: int = 1, queries: int = 5) -> Splits:
        """Train, val and test tasks; val is None, with a note, where too few classes are left for it.

        Raises `ValueError` with everything that is wrong, counted: files that do not decode, classes too small for
        `shots + queries`, splits with fewer classes than `ways`, classes in two splits.
        """
        labelled = Labelled(
            x=torch.from_numpy(self.pixels),
            train=self.train,
            val=self.val,
            test=self.test,
            noun="image",
            problems=self.problems,
            notes=self.notes,
        )
        return labelled.tasks(ways=ways, shots=shots, queries=queries)._replace(preprocessing=self.preprocessing)


from_folder = Images.from_folder


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Tasks over a folder of class folders, as a recipe field."""

    folder: str
    """holds CLASS/IMAGE, or train, val and test folders of them"""
    ways: int = 5
    """classes a task"""
    shots: int = 1
    """support images a class"""
    queries: int = 5
    """query images a class"""
    size: int = 28
    """height and width in pixels after resizing"""
    color: Color = "RGB"
    """L for grey, RGB for colour"""

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of an image."""
        return Preprocessing(size=self.size, color=self.color)

    def build(self, data_root: Path | None = None) -> Splits:
        """The splits; `folder` is taken as it is, `data_root` is not read.

        Raises `ValueError` with everything that is wrong with the folder, counted.
        """
        images = Images.from_folder(self.folder, size=self.size, color=self.color)
        return images.tasks(ways=self.ways, shots=self.shots, queries=self.queries)
