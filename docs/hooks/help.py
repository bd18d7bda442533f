"""Puts what the command line says of itself where a page has `<!-- fewstep train --help -->`."""

import contextlib
import io
import os
import re
from typing import Any

from fewstep.cli import main

MARK = re.compile(r"^( *)<!-- fewstep (.*?) ?--help -->$", re.MULTILINE)
COLUMNS = "80"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Every mark replaced by a block of that help, indented as the mark is."""
    return MARK.sub(_block, markdown)


def _block(found: re.Match[str]) -> str:
    text = f"```text\n{said(found[2].split())}```"
    return "".join(f"{found[1]}{line}\n" if line else "\n" for line in text.splitlines())


def said(verb: list[str]) -> str:
    """The help of a verb, as wide as a page. Raises `ValueError` for a verb that is not there."""
    out, before = io.StringIO(), {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR", "TERM")}
    os.environ.update(COLUMNS=COLUMNS, NO_COLOR="1", TERM="dumb")
    try:
        with contextlib.redirect_stdout(out):
            code = main([*verb, "--help"])
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    if code:
        raise ValueError(f"`fewstep {' '.join(verb)} --help` ended with {code}")
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
