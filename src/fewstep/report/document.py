"""A page of sections in words, tables, pictures and code: the same as self-contained HTML and as Markdown."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewstep.durable import replace_file
from fewstep.report.picture import Picture
from fewstep.report.template import template


@dataclass(frozen=True)
class Words:
    """A paragraph; `role` is `hint` or `status` where it is not plain text."""

    kind: ClassVar[str] = "words"
    text: str
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells of text, the first of a row its heading; the second line of a cell is fine print."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Figures beside each other, where there is room."""

    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Lines of code, with a title and a remark."""

    kind: ClassVar[str] = "code"
    text: str
    title: str = ""
    remark: str = ""


Block = Words | Table | Pictures | Code


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page under one heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A page. `versions` are those of the packages that drew it."""

    kicker: str
    title: str
    introduction: Sequence[Block]
    sections: Sequence[Section]
    versions: dict[str, str | None]


def write_html(document: Document, path: Path) -> Path:
    """One file with everything in it."""
    replace_file(path, template("document.html.jinja").render(document=document, versions=document.versions).encode())
    return path


def write_markdown(document: Document, path: Path) -> Path:
    """A text that names the pictures by their paths from where it lies."""

    def relative(picture: Picture) -> str:
        return Path(os.path.relpath(picture.path, path.parent)).as_posix()

    text = template("document.md.jinja").render(document=document, versions=document.versions, relative=relative)
    replace_file(path, text.encode())
    return path


def as_text(table: Table) -> str:
    """A table for a terminal, its columns aligned, without fine print."""
    rows = [list(table.columns), *([cell.partition("\n")[0] for cell in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
