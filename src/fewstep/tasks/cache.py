"""Arrays that are costly to make, kept as memory-mapped files in the user's cache folder."""

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import platformdirs

from fewstep.digest import digest
from fewstep.durable import discard_leftovers, make_folder, replace_file


class NamedClasses(NamedTuple):
    """`images: uint8 [C, M, H, W]` (C classes of M examples) and the name of each class."""

    images: npt.NDArray[np.uint8]
    names: list[str]


def cache_folder() -> Path:
    """`FEWSTEP_CACHE`, else the platform's cache folder for this user."""
    return Path(os.environ.get("FEWSTEP_CACHE") or platformdirs.user_cache_path("fewstep"))


def data_root(given: Path | None = None) -> Path:
    """The folder of the data sets: as given, else `FEWSTEP_DATA`, else in the user's cache folder."""
    if given is not None:
        return given
    return Path(os.environ.get("FEWSTEP_DATA") or cache_folder() / "data")


def cached(name: str, key: Mapping[str, object], make: Callable[[], NamedClasses]) -> NamedClasses:
    """What `make` returned for this `key`, memory-mapped; made and stored on the first call only."""
    array_path = cache_folder() / f"{name}-{digest(key, sort_keys=True)}.npy"
    names_path = array_path.with_suffix(".json")
    try:
        return _open(array_path, names_path)
    except (OSError, ValueError):  # not there yet, or cut short by a power failure: made anew
        _store(make(), array_path, names_path)
    return _open(array_path, names_path)


def _open(array_path: Path, names_path: Path) -> NamedClasses:
    return NamedClasses(np.load(array_path, mmap_mode="r"), json.loads(names_path.read_text()))


def _store(classes: NamedClasses, array_path: Path, names_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, classes.images)
    try:
        make_folder(array_path.parent)
        discard_leftovers(array_path.parent)
        replace_file(names_path, json.dumps(classes.names).encode())
        replace_file(array_path, array.getvalue())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; FEWSTEP_CACHE=FOLDER puts the cache elsewhere") from error
