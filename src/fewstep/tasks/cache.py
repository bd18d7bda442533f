"""Arrays that are costly to make, kept as memory-mapped files in the user's cache folder."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import platformdirs


class NamedClasses(NamedTuple):
    """`images: uint8 [C, M, H, W]` (C classes of M examples) and the name of each class."""

    images: npt.NDArray[np.uint8]
    names: list[str]


def cache_folder() -> Path:
    """`FEWSTEP_CACHE`, else the platform's cache folder for this user."""
    return Path(os.environ.get("FEWSTEP_CACHE") or platformdirs.user_cache_path("fewstep"))


def cached(name: str, key: Mapping[str, object], make: Callable[[], NamedClasses]) -> NamedClasses:
    """What `make` returned for this `key`, memory-mapped; made and stored on the first call only."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    array_path = cache_folder() / f"{name}-{digest}.npy"
    names_path = array_path.with_suffix(".json")
    try:
        return _open(array_path, names_path)
    except (OSError, ValueError):  # not there yet, or cut short by a power failure: made anew
        _store(make(), array_path, names_path)
    return _open(array_path, names_path)


def _open(array_path: Path, names_path: Path) -> NamedClasses:
    return NamedClasses(np.load(array_path, mmap_mode="r"), json.loads(names_path.read_text()))


def _store(classes: NamedClasses, array_path: Path, names_path: Path) -> None:
    array_path.parent.mkdir(parents=True, exist_ok=True)
    _replace(names_path, json.dumps(classes.names).encode())
    with tempfile.TemporaryDirectory(dir=array_path.parent) as aside:
        np.save(Path(aside) / "array.npy", classes.images)
        (Path(aside) / "array.npy").replace(array_path)


def _replace(path: Path, content: bytes) -> None:
    """Write aside, then rename: a crash or a second process never leaves half a file."""
    with tempfile.TemporaryDirectory(dir=path.parent) as aside:
        (Path(aside) / path.name).write_bytes(content)
        (Path(aside) / path.name).replace(path)
