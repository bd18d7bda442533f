"""Drawings and pictures as the pages send them: an image file in base64, decoded within limits."""

import base64
import binascii
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fewstep.tasks.preprocessing import Preprocessing

MOST_CHARACTERS = 1 << 20
MOST_PIXELS = 1 << 20
"""A page sends drawings of 105 × 105, and pictures reduced to 168."""

Drawing = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MOST_CHARACTERS,
        description="a PNG, JPEG, WebP, GIF or BMP of at most 1024 × 1024 pixels, in base64",
        json_schema_extra={"format": "image-base64"},
    ),
]


def pixels_of(drawing: str, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """The image as its net takes it, `uint8 [C, S, S]`, not yet inverted.

    Raises `ValueError` for what is no base64, no image or too large.
    """
    try:
        file = base64.b64decode(drawing, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("an image is to come in base64, and this is none") from error
    return preprocessing.decode_bytes(file, MOST_PIXELS)
