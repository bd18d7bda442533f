"""Small data sets in the forms in which the published ones circulate, and what must come of them."""

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

SIZE = 6
CLASSES = {"train": ["fox", "hen", "ox"], "val": ["owl", "yak"], "test": ["bee", "cow"]}
EACH = 3
"""Images a class."""
COUNTS = tuple(len(names) for names in CLASSES.values())
IMAGES = tuple(EACH * count for count in COUNTS)


def colour(split: str, name: str, example: int) -> tuple[int, int, int]:
    """Of a whole image: another for each; red, green and blue can be told apart."""
    return (80 * list(CLASSES).index(split) + 20 * CLASSES[split].index(name) + 5 * example, 100, 250)


def image(split: str, name: str, example: int, size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), colour(split, name, example), np.uint8)


def expected(split: str) -> np.ndarray:
    """`[N, 3, size, size]`, class by class."""
    images = [image(split, name, example) for name in CLASSES[split] for example in range(EACH)]
    return np.moveaxis(np.stack(images), -1, 1)


def shuffled(split: str) -> list[tuple[str, int]]:
    """The examples of a split in an order in which classes alternate; those of a class keep theirs."""
    return [(name, example) for example in range(EACH) for name in reversed(CLASSES[split])]


def stacked_images(split: str) -> np.ndarray:
    return np.stack([image(split, name, example) for name, example in shuffled(split)])


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


class _Python2(pickle._Pickler):
    """Writes strings of both kinds as Python 2 writes its own."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def as_python_2(value: Any) -> bytes:
    """As Python 2 and the numpy of its day pickled it."""
    stream = io.BytesIO()
    _Python2(stream, 2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w", extra: Iterable[tarfile.TarInfo] = ()) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return stream.getvalue()


def cache_files(dump: Any = pickle.dumps) -> dict[str, bytes]:
    """`mini-imagenet-cache-*.pkl`."""
    return {
        f"mini-imagenet-cache-{split}.pkl": dump(
            {
                "image_data": stacked_images(split),
                "class_dict": {
                    name: [i for i, (other, _) in enumerate(shuffled(split)) if other == name]
                    for name in CLASSES[split]
                },
            }
        )
        for split in CLASSES
    }


def labelled_files(pattern: str, dump: Any = pickle.dumps, **more: Any) -> dict[str, bytes]:
    """`data` and `labels`, the classes by number."""
    return {
        pattern.format(split): dump(
            {
                "data": stacked_images(split),
                "labels": [CLASSES[split].index(name) for name, _ in shuffled(split)],
                **{key: value(split) for key, value in more.items()},
            }
        )
        for split in CLASSES
    }


def ravi_lists() -> dict[str, bytes]:
    return {
        f"{split}.csv": (
            "filename,label\n" + "".join(f"{name}0000000{example}.jpg,{name}\n" for name, example in shuffled(split))
        ).encode()
        for split in CLASSES
    }


def ravi_images() -> dict[str, bytes]:
    """Larger than they will be, as those of ImageNet are."""
    return {
        f"images/{name}0000000{example}.jpg": encoded(image(split, name, example, 11), "JPEG")
        for split in CLASSES
        for name, example in shuffled(split)
    }


def tiered_labels(dump: Any = pickle.dumps) -> dict[str, bytes]:
    return {
        f"{split}_labels.pkl": dump(
            {
                "label_specific": np.array([CLASSES[split].index(name) for name, _ in shuffled(split)], np.int32),
                "label_general": np.zeros(IMAGES[list(CLASSES).index(split)], np.int32),
                "label_specific_str": CLASSES[split],
                "label_general_str": ["animal"],
            }
        )
        for split in CLASSES
    }


def tiered_pngs(dump: Any = pickle.dumps) -> dict[str, bytes]:
    """A column of bytes an image, as OpenCV encodes."""
    return {
        f"{split}_images_png.pkl": dump(
            [np.frombuffer(encoded(one), np.uint8)[:, None].copy() for one in stacked_images(split)]
        )
        for split in CLASSES
    }


def tiered_arrays(channels: slice = slice(None)) -> dict[str, bytes]:
    files = {}
    for split in CLASSES:
        stream = io.BytesIO()
        np.savez(stream, images=stacked_images(split)[..., channels])
        files[f"{split}_images.npz"] = stream.getvalue()
    return files


def cifar_files() -> dict[str, bytes]:
    """`cifar100.zip` of Bertinetto: the lists are not in alphabetical order."""
    lists = {
        f"cifar100/splits/bertinetto/{split}.txt": "\n".join(reversed(names)).encode()
        for split, names in CLASSES.items()
    }
    images = {
        f"cifar100/data/{name}/{name[0]}_s_{example:06d}.png": encoded(image(split, name, example))
        for split in CLASSES
        for name, example in shuffled(split)
    }
    return {**lists, **images, "cifar100/splits/bertinetto/trainval.txt": b"", "cifar100/README": b"other files"}


CUB = ["train", "val", "train", "test", "train", "val", None, "test"]
"""The splits of classes 1 to 8: even c (from 0) train, 1 mod 4 val, 3 mod 4 test; there is no class 7."""


def cub_classes() -> dict[int, tuple[str, str]]:
    """Split and name by number."""
    left = {split: iter(names) for split, names in CLASSES.items()}
    return {number: (split, next(left[split])) for number, split in enumerate(CUB, start=1) if split is not None}


def cub_files() -> dict[str, bytes]:
    images, labels, files = [], [], {}
    for number, (split, name) in cub_classes().items():
        for example in range(EACH):
            path = f"{number:03d}.{name}/{name}_{example:04d}_{number}.jpg"
            images.append(f"{len(images) + 1} {path}")
            labels.append(f"{len(labels) + 1} {number}")
            files[f"CUB_200_2011/images/{path}"] = encoded(image(split, name, example, 9), "JPEG")
    lists = {"images.txt": images, "image_class_labels.txt": labels}
    return {
        "./attributes.txt": b"1 bill\n",
        "./CUB_200_2011/._images.txt": b"mac",
        **{f"./CUB_200_2011/{name}": "\n".join(lines).encode() for name, lines in lists.items()},
        **{f"./{name}": data for name, data in files.items()},
    }
