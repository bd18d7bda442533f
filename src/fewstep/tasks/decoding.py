"""Many image files at once, and which of them do not decode."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fewstep.tasks.preprocessing import Preprocessing


class Decoded(NamedTuple):
    """`pixels: uint8 [N, *inputs]` of the files that decode, which are `whole`; what is said of the others."""

    pixels: npt.NDArray[np.uint8]
    whole: frozenset[Path]
    errors: list[str]


def decode_all(files: Sequence[Path], preprocessing: Preprocessing) -> Decoded:
    """All files; what was read last is kept, for a recipe reads its folder twice, to train and to test."""
    stamped = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return _decode_all(stamped, preprocessing)


@lru_cache(maxsize=1)
def _decode_all(stamped: tuple[tuple[Path, int, int], ...], preprocessing: Preprocessing) -> Decoded:
    pixels: dict[Path, npt.NDArray[np.uint8]] = {}
    errors: list[str] = []
    for file, _, _ in stamped:
        try:
            pixels[file] = preprocessing.decode(file)
        except ValueError as error:
            errors.append(str(error))
    stacked = np.stack([*pixels.values()]) if pixels else np.zeros((0, *preprocessing.inputs), np.uint8)
    return Decoded(stacked, frozenset(pixels), errors)
