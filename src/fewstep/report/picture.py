"""A figure on a page."""

import base64
from pathlib import Path
from typing import NamedTuple


class Picture(NamedTuple):
    """A PNG file for the page, with what it shows for those who do not see it.

    `is_photo` where a dark page must not turn its colours.
    """

    path: Path
    title: str
    caption: str
    alt: str
    is_photo: bool = False

    @property
    def source(self) -> str:
        """The file itself, as an address."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()
