"""Readers of the pickles in which few-shot data sets circulate.

`mini-imagenet-cache-train.pkl` holds `image_data [N, 84, 84, 3]` and `class_dict`, the examples of each class.
`CIFAR_FS_train.pickle`, `FC100_train.pickle` and `miniImageNet_category_split_train_phase_train.pickle` (MetaOptNet,
FewShotWithoutForgetting) hold `data [N, size, size, 3]` and `labels`, numbers without names but in `catname2label`.
tiered-ImageNet (Ren et al. 2018, arXiv:1803.00676) comes as `train_images_png.pkl`, a list of encoded images, or as
`train_images.npz`, with `train_labels.pkl`. Its npz holds blue, green, red, as OpenCV reads images; MetaOptNet's
version, whose labels are called `labels`, holds red, green, blue.
"""

import re
import tokenize
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import numpy as np

from fewstep.tasks.archive_members import Member
from fewstep.tasks.restricted_pickle import read_pickle
from fewstep.tasks.split_contents import SPLITS, Contents, Piece, Pixels, arranged, decoded

MOST_LABEL_BYTES = 1 << 27
AT_ONCE = 1024
"""Images of an npz that are read at once."""


class _Split(NamedTuple):
    """The labels of one split's examples, and what reads its images, `places` of which lie in that order."""

    labels: list[str]
    images: Callable[[], Iterator[Pixels]]


def read_cache(members: Sequence[Member], size: int, most_bytes: int) -> Contents | None:
    """mini-ImageNet's `image_data` and `class_dict`; None where the files are not there."""
    files = _files(members, r"mini-imagenet-cache-(train|val|test)\.pkl")
    return None if files is None else _contents({split: _cached(files[split], size, most_bytes) for split in SPLITS})


def read_data_and_labels(members: Sequence[Member], size: int, most_bytes: int) -> Contents | None:
    """`data` and `labels` of MetaOptNet; None where the files are not there."""
    files = _files(members, r"(?:CIFAR_FS|FC100|miniImageNet_category_split)_(train|val|test)(?:_phase_train)?\.pickle")
    if files is None:
        return None
    return _contents({split: _labelled(files[split], split, size, most_bytes) for split in SPLITS})


def read_tiered(members: Sequence[Member], size: int, most_bytes: int) -> Contents | None:
    """Encoded images or an npz, and labels; None where the files are not there."""
    labels = _files(members, r"(train|val|test)_labels\.pkl")
    encoded = _files(members, r"(train|val|test)_images_png\.pkl")
    arrays = _files(members, r"(train|val|test)_images\.npz")
    if labels is None or (encoded is None and arrays is None):
        return None
    splits = {}
    for split in SPLITS:
        named, is_red_first = _tiered_labels(labels[split], split)
        if encoded is not None:
            splits[split] = _Split(named, _png_reader(encoded[split], size, most_bytes))
        else:
            assert arrays is not None
            splits[split] = _Split(named, _npz_reader(arrays[split], size, is_red_first))
    return _contents(splits)


def _files(members: Sequence[Member], pattern: str) -> dict[str, Member] | None:
    """The file of each split, by its name; None where one is missing."""
    found = {match[1]: member for member in members if (match := re.fullmatch(pattern, member.name))}
    return found if set(found) == set(SPLITS) else None


def _contents(splits: dict[str, _Split]) -> Contents:
    order = {split: arranged(found.labels) for split, found in splits.items()}

    def pieces() -> Iterator[Piece]:
        for split, found in splits.items():
            start, places = 0, order[split].places
            for images in found.images():
                here = places[start : start + len(images)]
                start += len(images)
                if len(here) == len(images):
                    yield Piece(split, here, images)
            _check_count(split, start, len(places))

    return Contents({split: order[split].classes for split in splits}, pieces)


def _load(member: Member, most_bytes: int, *keys: str) -> Any:
    """The pickled value, which must have `keys` where any are given."""
    member.check(most_bytes)
    with member.stream() as stream:
        value = read_pickle(stream, str(member))  # type: ignore[arg-type]  # any binary stream does
    missing = [key for key in keys if not (isinstance(value, dict) and key in value)]
    if missing:
        has = f"{sorted(map(str, value))}" if isinstance(value, dict) else f"a {type(value).__name__}"
        raise ValueError(f"{member} holds {has}, expected a dictionary with {list(keys)}; it is another file")
    return value


def _cached(member: Member, size: int, most_bytes: int) -> _Split:
    value = _load(member, most_bytes, "image_data", "class_dict")
    count = len(_images(value["image_data"], member, size))
    labels = [""] * count
    for name, examples in value["class_dict"].items():
        for i in examples:
            if not 0 <= int(i) < count or labels[int(i)]:
                raise ValueError(f"{member}: example {i} of class {name} is missing or comes twice; it is damaged")
            labels[int(i)] = str(name)
    if "" in labels:
        raise ValueError(f"{member}: {labels.count('')} of {count} images are in no class; it is damaged")
    return _Split(labels, _array_reader(member, "image_data", size, most_bytes))


def _labelled(member: Member, split: str, size: int, most_bytes: int) -> _Split:
    value = _load(member, most_bytes, "data", "labels")
    count, numbers = len(_images(value["data"], member, size)), [int(label) for label in value["labels"]]
    _check_count(member, count, len(numbers))
    names = {int(label): _text(name) for name, label in value.get("catname2label", {}).items()}
    labels = [names.get(label, f"{split}/{label:03d}") for label in numbers]
    return _Split(labels, _array_reader(member, "data", size, most_bytes))


def _tiered_labels(member: Member, split: str) -> tuple[list[str], bool]:
    """The class of each example, and whether an npz beside it has red first."""
    value = _load(member, MOST_LABEL_BYTES)
    if isinstance(value, dict) and "label_specific" not in value and "labels" in value:
        return [f"{split}/{int(label):03d}" for label in value["labels"]], True
    value = _load(member, MOST_LABEL_BYTES, "label_specific")
    names = {i: _text(name) for i, name in enumerate(value.get("label_specific_str", []))}
    return [f"{split}/{int(i):03d} {names.get(int(i), '')}".strip() for i in value["label_specific"]], False


def _array_reader(member: Member, key: str, size: int, most_bytes: int) -> Callable[[], Iterator[Pixels]]:
    """Reads the pickle again: the three splits need not be in memory at once."""

    def read() -> Iterator[Pixels]:
        yield _images(_load(member, most_bytes, key)[key], member, size)

    return read


def _png_reader(member: Member, size: int, most_bytes: int) -> Callable[[], Iterator[Pixels]]:
    def read() -> Iterator[Pixels]:
        encoded = _load(member, most_bytes)
        if not isinstance(encoded, list):
            raise ValueError(f"{member} holds a {type(encoded).__name__}, expected a list of encoded images")
        for i, image in enumerate(encoded):
            data = image.tobytes() if isinstance(image, np.ndarray) else image
            if not isinstance(data, bytes):
                raise ValueError(f"{member}: image {i} is a {type(data).__name__}, expected an encoded image")
            yield decoded(data, size, f"{member}: image {i}")[None]

    return read


def _npz_reader(member: Member, size: int, is_red_first: bool) -> Callable[[], Iterator[Pixels]]:
    """Reads a few images at a time: the whole is 10 GB."""

    def read() -> Iterator[Pixels]:
        with member.stream() as stream, zipfile.ZipFile(stream) as archive:
            if "images.npy" not in archive.namelist():
                raise ValueError(f"{member} holds {archive.namelist()}, expected an array 'images'")
            with archive.open("images.npy") as file:
                count, each = _npy_count(file, member, size), size * size * 3
                for start in range(0, count, AT_ONCE):
                    data = file.read(min(AT_ONCE, count - start) * each)
                    if len(data) != min(AT_ONCE, count - start) * each:
                        raise ValueError(f"{member} ends after image {start + len(data) // each} of {count}")
                    images = np.frombuffer(data, np.uint8).reshape(-1, size, size, 3)
                    yield images if is_red_first else images[..., ::-1]

    return read


def _npy_count(file: IO[bytes], member: Member, size: int) -> int:
    """How many images follow the header of an npy file, which is read."""
    try:
        is_first = np.lib.format.read_magic(file) == (1, 0)
        read_header = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
    except (ValueError, SyntaxError, tokenize.TokenError) as error:  # numpy reads it as Python's literals
        raise ValueError(f"{member} is damaged ({error}); download it again") from error
    if shape[1:] != (size, size, 3) or dtype != np.uint8 or is_fortran:
        raise ValueError(f"{member} has images {dtype} {list(shape)}, expected uint8 [N, {size}, {size}, 3]")
    return int(shape[0])


def _images(value: Any, member: Member, size: int) -> Pixels:
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.shape[1:] == (size, size, 3):
        return value
    found = f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise ValueError(f"{member} has images {found}, expected uint8 [N, {size}, {size}, 3]; it is another data set")


def _check_count(where: Member | str, images: int, labels: int) -> None:
    if images != labels:
        raise ValueError(f"{where} has {images} images and {labels} labels, expected as many; it is damaged")


def _text(name: object) -> str:
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else str(name)
