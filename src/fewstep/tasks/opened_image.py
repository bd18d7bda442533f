"""Image files of anybody, opened with care: kinds that are only read, of a size that fits, and one kind of error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

MOST_PIXELS = 1 << 26
"""Of an image: 8192 × 8192. A PNG of a few kilobytes can hold as many as it likes."""
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What is looked for in a file, whatever it is called. Pillow knows more kinds, one of which starts Ghostscript."""


@contextmanager
def opened_image(
    source: Path | IO[bytes], formats: tuple[str, ...] = FORMATS, most_pixels: int = MOST_PIXELS
) -> Iterator[Image.Image]:
    """The image, to be decoded within the `with`.

    Raises `ValueError` with the reason where it is none, is damaged or is too large, `OSError` where there is no file.
    """
    with source.open("rb") if isinstance(source, Path) else source as file:
        try:
            with Image.open(file, formats=formats) as image:
                if image.width * image.height > most_pixels:
                    raise ValueError(f"{image.width}×{image.height} pixels, expected {most_pixels} or fewer")
                yield image
        except UnidentifiedImageError as error:
            raise ValueError(f"it is none of {', '.join(formats)}, or its beginning is damaged") from error
        except Exception as error:  # decoders raise what comes to hand on damaged bytes
            raise ValueError(str(error) or type(error).__name__) from error
