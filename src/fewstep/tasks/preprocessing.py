"""From an image file to what a net is given: the same for training, support sets and single images to predict.

Letters: N images, C channels (1 grey, 3 colour), S pixels a side.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from fewstep.tasks.opened_image import MOST_PIXELS, opened_image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Of the files that are taken for images."""

Color = Literal["L", "RGB"]
Resampling = Literal["nearest", "lanczos"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image becomes the input of a net: converted, resized to a square, values in [0, 1], inverted or not."""

    size: int
    """height and width in pixels"""
    color: Color
    """L for grey, RGB for colour"""
    resampling: Resampling = "lanczos"
    """the filter that resizes"""
    inverted: bool = False
    """v becomes 1 − v: white ink on black paper"""

    @property
    def inputs(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (1 if self.color == "L" else 3, self.size, self.size)

    def decode(self, file: Path) -> npt.NDArray[np.uint8]:
        """The image `uint8 [C, S, S]`, of any size and mode; not yet inverted.

        Raises `ValueError` for a file that does not decode or is too large, by its name.
        """
        try:
            return self._pixels(file)
        except FileNotFoundError as error:
            raise ValueError(f"there is no file {file}") from error
        except (ValueError, OSError) as error:
            raise ValueError(f"{file} does not decode as an image ({error}); repair or remove it") from error

    def decode_bytes(self, file: bytes, most_pixels: int = MOST_PIXELS) -> npt.NDArray[np.uint8]:
        """What `decode` makes of a file, `uint8 [C, S, S]`, from what is in it.

        Raises `ValueError` where it does not decode or is too large.
        """
        try:
            return self._pixels(io.BytesIO(file), most_pixels)
        except ValueError as error:
            raise ValueError(f"an image does not decode ({error}): send a PNG, JPEG, WebP, GIF or BMP") from error

    def _pixels(self, file: Path | IO[bytes], most_pixels: int = MOST_PIXELS) -> npt.NDArray[np.uint8]:
        filters = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS}
        with opened_image(file, most_pixels=most_pixels) as image:
            converted = _plain(image).convert(self.color)
            resized = converted.resize((self.size, self.size), filters[self.resampling])
        array = np.asarray(resized, dtype=np.uint8)
        return array[None] if self.color == "L" else np.moveaxis(array, -1, 0)

    def read(self, files: Sequence[Path]) -> Tensor:
        """The images as a net takes them: `float32 [N, C, S, S]`.

        Raises `ValueError` for a file that does not decode, by its name.
        """
        return as_floats(np.stack([self.decode(file) for file in files]), inverted=self.inverted)


def as_floats(pixels: npt.NDArray[np.uint8], *, inverted: bool) -> Tensor:
    """`pixels: uint8 [..., C, S, S]` as floats in [0, 1]; inverted, v is 1 − v."""
    floats = torch.from_numpy(np.true_divide(pixels, 255, dtype=np.float32))
    return 1 - floats if inverted else floats


def image_files(folder: Path) -> list[Path]:
    """The images that lie in `folder` itself, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def class_folders(root: Path) -> list[Path]:
    """The folders in `root` that hold images, by name; none where `root` is no folder."""
    if not root.is_dir():
        return []
    return sorted(folder for folder in root.iterdir() if folder.is_dir() and image_files(folder))


def _plain(image: Image.Image) -> Image.Image:
    """16-bit greys in 8 bits, transparent grounds white: `convert` would clip the one and show what the other hides."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
    return image
