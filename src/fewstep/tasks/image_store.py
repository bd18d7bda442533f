"""Images of three splits in our own form: a folder of memory-mapped arrays, whole on the disk or not there at all.

`train.npy`, `val.npy` and `test.npy` are `uint8 [N, 3, size, size]`, the images of a class one after the other;
`about.json` has the classes and the checksums.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewstep.durable import discard_leftovers, make_folder, path_aside, replace_folder
from fewstep.tasks.split_contents import SPLITS, Contents, Piece, Pixels

FORMAT = 1
ABOUT = "about.json"


class Stored(NamedTuple):
    """`images[split]: uint8 [N, 3, size, size]`, memory-mapped, and the classes of each split: name, images."""

    images: dict[str, Pixels]
    classes: dict[str, list[tuple[str, int]]]
    checksums: dict[str, str]


def store(contents: Contents, size: int, folder: Path, see: Callable[[int], object] = lambda images: None) -> None:
    """Write all images to `folder`, which must not be there; `see` is told how many came, each time some did.

    Raises `ValueError` where an image is missing or comes twice.
    """
    with _aside(folder) as aside:
        for split in SPLITS:
            with (aside / f"{split}.npy").open("wb") as file:
                shape = (_count(contents, split), 3, size, size)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                file.truncate(file.tell() + int(np.prod(shape)))
        _fill(contents, size, aside, see)
        sums = {split: checksum(aside / f"{split}.npy") for split in SPLITS}
        about = {"format": FORMAT, "classes": contents.classes, "sha256": sums}
        (aside / ABOUT).write_text(json.dumps(about))
        replace_folder(folder, aside)


def load(folder: Path) -> Stored:
    """What `store` wrote. Raises `ValueError` where that is not what is there."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']}, expected {FORMAT}")
        classes = {split: [(name, size) for name, size in about["classes"][split]] for split in SPLITS}
        images = {split: np.load(folder / f"{split}.npy", mmap_mode="r") for split in SPLITS}
        for split in SPLITS:
            count, shape = sum(size for _, size in classes[split]), images[split].shape
            if shape[:2] != (count, 3) or len(shape) != 4:
                raise ValueError(f"{split}.npy is {list(shape)}, expected [{count}, 3, size, size]")
        return Stored(images, classes, {split: about["sha256"][split] for split in SPLITS})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is not as it was imported ({error}); remove it and import it again") from error


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _fill(contents: Contents, size: int, aside: Path, see: Callable[[int], object]) -> None:
    """Write every image to its place: plain writes, which fail with an error where the disk is full."""
    each = 3 * size * size
    missing = {split: np.ones(_count(contents, split), bool) for split in SPLITS}
    starts = {split: (aside / f"{split}.npy").stat().st_size - len(missing[split]) * each for split in SPLITS}
    with ExitStack() as stack:
        files = {split: stack.enter_context((aside / f"{split}.npy").open("r+b")) for split in SPLITS}
        for piece in contents.pieces():
            _mark(piece, missing[piece.split])
            for place, image in zip(piece.places.tolist(), piece.images, strict=True):
                files[piece.split].seek(starts[piece.split] + place * each)
                files[piece.split].write(np.moveaxis(image, -1, 0).tobytes())
            see(len(piece.images))
    for split in SPLITS:
        if missing[split].any():
            raise ValueError(f"{missing[split].sum()} images of {split} are not in the archive, which lists them")


def _mark(piece: Piece, missing: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    if not missing[piece.places].all():
        raise ValueError(f"an image of {piece.split} comes twice in the archive")
    missing[piece.places] = False


def _count(contents: Contents, split: str) -> int:
    return sum(size for _, size in contents.classes[split])


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, removed at the end if it is still there."""
    make_folder(folder.parent)
    discard_leftovers(folder.parent, folder.name)
    aside = path_aside(folder)
    aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
