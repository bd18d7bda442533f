"""One's own images: a folder of class folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewstep import seeding
from fewstep.digest import digest
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.preprocessing import Color, Preprocessing, class_folders, image_files
from fewstep.tasks.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Images:
    """Decoded images `uint8 [N, channels, size, size]`, and the classes of each split."""

    pixels: npt.NDArray[np.uint8]
    train: Sequence[ImageClass]
    val: Sequence[ImageClass]
    test: Sequence[ImageClass]
    preprocessing: Preprocessing | None = None

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
        any size and mode are converted to `color` and resized to `size` × `size`.

        Raises `ValueError` for a folder without classes and for a file that does not decode, by its name.
        """
        root = Path(folder)
        splits = {split: class_folders(root / split) for split in ("train", "val", "test")}
        if not splits["train"]:
            splits = _split_at_random(class_folders(root), held_out, seed)
        if not (splits["train"] and splits["test"]):
            raise ValueError(
                f"{root} has too few class folders with images: expected {root}/CLASS/IMAGE, "
                f"or {root}/train/CLASS/IMAGE and {root}/test/CLASS/IMAGE"
            )
        preprocessing = Preprocessing(size=size, color=color)
        pixels: list[npt.NDArray[np.uint8]] = []
        classes: dict[str, list[ImageClass]] = {split: [] for split in splits}
        for split, folders in splits.items():
            for class_folder in folders:
                files = image_files(class_folder)
                classes[split].append(ImageClass(class_folder.name, len(pixels), len(files)))
                pixels += [preprocessing.decode(file) for file in files]
        return cls(pixels=np.stack(pixels), preprocessing=preprocessing, **classes)

    def tasks(self, *, ways: int = 5, shots: int = 1, queries: int = 5) -> Splits:
        """Train, val and test tasks; val is None where too few classes are left for it."""

        def over(split: str, classes: Sequence[ImageClass]) -> ImageTasks:
            return ImageTasks(split=split, images=self.pixels, classes=classes, ways=ways, shots=shots, queries=queries)

        names = {"train": self.train, "val": self.val, "test": self.test}
        return Splits(
            train=over("train", self.train),
            val=over("val", self.val) if len(self.val) >= ways else None,
            test=over("test", self.test),
            summary={
                "tasks": "images",
                "ways, shots, queries": [ways, shots, queries],
                "inputs": list(self.pixels.shape[1:]),
                "classes": {split: len(classes) for split, classes in names.items()},
                "hash": digest(names),
            },
            preprocessing=self.preprocessing,
        )


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
        """The splits; `folder` is taken as it is, `data_root` is not read."""
        images = Images.from_folder(self.folder, size=self.size, color=self.color)
        return images.tasks(ways=self.ways, shots=self.shots, queries=self.queries)


def _split_at_random(folders: Sequence[Path], held_out: tuple[float, float], seed: int) -> dict[str, list[Path]]:
    order = seeding.numpy_generator(seed, "images/split").permutation(len(folders))
    shuffled = [folders[i] for i in order]
    val, test = (round(share * len(folders)) for share in held_out)
    return {"val": shuffled[:val], "test": shuffled[val : val + test], "train": shuffled[val + test :]}
