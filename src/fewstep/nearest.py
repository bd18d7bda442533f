"""A hint for whoever mistypes a name."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'train'?` for `tran`, empty where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.4)
    return f"; did you mean '{near[0]}'?" if near else ""
