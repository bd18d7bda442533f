"""One's own images: a folder of class folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from fewstep import seeding
from fewstep.digest import digest
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.splits import Splits

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


@dataclass(frozen=True, kw_only=True)
class Images:
    """Decoded images `uint8 [N, channels, size, size]`, and the classes of each split."""

    pixels: npt.NDArray[np.uint8]
    train: Sequence[ImageClass]
    val: Sequence[ImageClass]
    test: Sequence[ImageClass]

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        size: int = 28,
        color: Literal["L", "RGB"] = "RGB",
        held_out: tuple[float, float] = (0.15, 0.25),
        seed: int = 0,
    ) -> "Images":
        """Read `folder/CLASS/IMAGE`, or `folder/{train,val,test}/CLASS/IMAGE`.

        Without split folders, the shares `held_out` of the classes become val and test, chosen by `seed`. Images of
        any size and mode are converted to `color` and resized to `size` × `size`.

        Raises `ValueError` for a folder without classes and for a file that does not decode, by its name.
        """
        root = Path(folder)
        splits = {split: _class_folders(root / split) for split in ("train", "val", "test")}
        if not splits["train"]:
            splits = _split_at_random(_class_folders(root), held_out, seed)
        if not (splits["train"] and splits["test"]):
            raise ValueError(
                f"{root} has too few class folders with images: expected {root}/CLASS/IMAGE, "
                f"or {root}/train/CLASS/IMAGE and {root}/test/CLASS/IMAGE"
            )
        pixels: list[npt.NDArray[np.uint8]] = []
        classes: dict[str, list[ImageClass]] = {split: [] for split in splits}
        for split, folders in splits.items():
            for class_folder in folders:
                files = _image_files(class_folder)
                classes[split].append(ImageClass(class_folder.name, len(pixels), len(files)))
                pixels += [_decode(file, size, color) for file in files]
        return cls(pixels=np.stack(pixels), **classes)

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
    color: Literal["L", "RGB"] = "RGB"
    """L for grey, RGB for colour"""

    def build(self, data_root: Path | None = None) -> Splits:
        """The splits; `folder` is taken as it is, `data_root` is not read."""
        images = Images.from_folder(self.folder, size=self.size, color=self.color)
        return images.tasks(ways=self.ways, shots=self.shots, queries=self.queries)


def _class_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.iterdir() if folder.is_dir() and _image_files(folder))


def _image_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _split_at_random(folders: Sequence[Path], held_out: tuple[float, float], seed: int) -> dict[str, list[Path]]:
    order = seeding.numpy_generator(seed, "images/split").permutation(len(folders))
    shuffled = [folders[i] for i in order]
    val, test = (round(share * len(folders)) for share in held_out)
    return {"val": shuffled[:val], "test": shuffled[val : val + test], "train": shuffled[val + test :]}


def _plain(image: Image.Image) -> Image.Image:
    """16-bit greys in 8 bits, transparent grounds white: `convert` would clip the one and show what the other hides."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
    return image


def _decode(file: Path, size: int, color: str) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            resized = _plain(image).convert(color).resize((size, size), Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} does not decode as an image ({error}); repair or remove it") from error
    array = np.asarray(resized, dtype=np.uint8)
    return array[None] if color == "L" else np.moveaxis(array, -1, 0)
