"""What somebody's archive holds of each split, and its images one piece after the other."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from fewstep.tasks.archive_members import Member
from fewstep.tasks.opened_image import opened_image

Pixels = npt.NDArray[np.uint8]
SPLITS = ("train", "val", "test")

LARGEST_IMAGE_BYTES = 1 << 25


class Piece(NamedTuple):
    """`images: uint8 [N, size, size, 3]` and the place of each within its split."""

    split: str
    places: npt.NDArray[np.int64]
    images: Pixels


class Contents(NamedTuple):
    """The classes of each split, name and number of images, in the order in which they lie; `pieces()` fills them."""

    classes: dict[str, list[tuple[str, int]]]
    pieces: Callable[[], Iterator[Piece]]


class Arranged(NamedTuple):
    """Classes in order, and the place of each example among them."""

    classes: list[tuple[str, int]]
    places: npt.NDArray[np.int64]


def arranged(labels: Sequence[str]) -> Arranged:
    """The classes sorted by name; examples of a class keep their order."""
    counts = Counter(labels)
    order = sorted(range(len(labels)), key=lambda i: labels[i])
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels))
    return Arranged([(name, counts[name]) for name in sorted(counts)], places)


def contents_of_files(
    members: Sequence[Member], classes: Mapping[str, Mapping[str, Iterable[Member]]], size: int
) -> Contents:
    """Of one image file an example: `classes[split][name]` are its files, among `members`."""
    listed: dict[str, list[tuple[str, int]]] = {}
    places: dict[str, tuple[str, int]] = {}
    for split in SPLITS:
        listed[split] = []
        start = 0
        for name, files in sorted(classes[split].items()):
            paths = sorted(file.path for file in files)
            listed[split].append((name, len(paths)))
            places.update({path: (split, start + i) for i, path in enumerate(paths)})
            start += len(paths)

    def pieces() -> Iterator[Piece]:
        for member in members:
            if member.path in places:
                split, place = places[member.path]
                yield Piece(
                    split, np.array([place]), decoded(member.read(LARGEST_IMAGE_BYTES), size, str(member))[None]
                )

    return Contents(listed, pieces)


def decoded(data: bytes, size: int, name: str) -> Pixels:
    """A JPEG or PNG as colours `[size, size, 3]`. Raises `ValueError` that begins with `name` where it is neither."""
    try:
        with opened_image(io.BytesIO(data), ("JPEG", "PNG")) as image:
            colours = image.convert("RGB")
            if colours.size != (size, size):
                colours = colours.resize((size, size), Image.Resampling.LANCZOS)
            return np.asarray(colours)
    except ValueError as error:
        raise ValueError(f"{name} does not decode as a JPEG or PNG image ({error}); download it again") from error
