"""The columns of a table as numbers: what is in them, what is missing, and how a row becomes the input of a net."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fewstep.tasks.preflight import Problem, counted

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""What stands for a missing number, in small letters; in a column of texts only the empty one is missing."""
MOST_TEXTS = 100
"""Different texts in a column beyond which it is rather an identifier, a date or free text."""

FILL_IN = "fill in or remove these lines"


class Row(NamedTuple):
    """A line of a table: its number in the file, and its cells by the names of their columns."""

    line: int
    cells: Mapping[str, str]


class Number(NamedTuple):
    """A column of numbers, less `mean` and divided by `std`."""

    name: str
    mean: float
    std: float


class Text(NamedTuple):
    """A column of texts, an input for each of `texts`: 1 where the cell has it, else 0; all 0 for another text."""

    name: str
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How rows become `x: [N, F]` and values `y: [N, D]`: by the means and deviations, and texts, of training rows."""

    inputs: tuple[Number | Text, ...]
    targets: tuple[Number, ...] = ()

    @property
    def names(self) -> list[str]:
        """What the F inputs are: `price`, `region=north`."""
        return [
            name
            for column in self.inputs
            for name in ([column.name] if isinstance(column, Number) else [f"{column.name}={t}" for t in column.texts])
        ]

    def x(self, rows: Iterable[Mapping[str, str]]) -> Tensor:
        """`float32 [N, F]` of rows as `csv.DictReader` gives them.

        Raises `ValueError` for a cell of a column of numbers that is none.
        """
        return torch.tensor([[value for column in self.inputs for value in _encoded(column, row)] for row in rows])

    def y(self, rows: Iterable[Mapping[str, str]]) -> Tensor:
        """`float32 [N, D]` of the target columns, as the net is trained on them."""
        return torch.tensor([[value for column in self.targets for value in _encoded(column, row)] for row in rows])

    def values(self, y: Tensor) -> Tensor:
        """What a net says, `y: [..., D]`, in the table's own units."""
        mean, std = (torch.tensor([getattr(column, name) for column in self.targets]) for name in ("mean", "std"))
        return y * std + mean


def number_of(text: str) -> float | None:
    """The finite number that a cell says; None where it says none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def empty_cells(name: str, rows: Sequence[Row]) -> Problem:
    """The lines where a column of texts has none."""
    lines = _lines(rows, [not row.cells[name] for row in rows])
    return Problem([f"column '{name}' has no value in {lines}"] if lines else [], FILL_IN)


def column_of(name: str, rows: Sequence[Row], training: Sequence[bool]) -> tuple[Number | Text | None, Problem]:
    """A column by what its cells are, with statistics of the rows in `training`, and what is wrong with it.

    None where it cannot be used.
    """
    cells = [row.cells[name] for row in rows]
    numbers = [number_of(cell) for cell in cells]
    present = [cell.lower() not in MISSING for cell in cells]
    are_numbers = sum(number is not None for number in numbers)
    if 2 * are_numbers <= sum(present):
        return _text_column(name, rows, training)
    missing = _lines(rows, [not there for there in present])
    other = [there and number is None for there, number in zip(present, numbers, strict=True)]
    items = [f"column '{name}' has no value in {missing}"] if missing else []
    if any(other):
        first = cells[other.index(True)]
        items.append(f"column '{name}' holds numbers, but '{first}' and the like in {_lines(rows, other)}")
    trained = [number for number, is_in in zip(numbers, training, strict=True) if is_in and number is not None]
    mean, std = (float(np.mean(trained)), float(np.std(trained))) if trained else (0.0, 1.0)
    return Number(name, mean, std if std > 0 else 1.0), Problem(items, FILL_IN)


def _text_column(name: str, rows: Sequence[Row], training: Sequence[bool]) -> tuple[Text | None, Problem]:
    cells = [row.cells[name] for row in rows]
    if (empty := empty_cells(name, rows)).items:
        return None, empty
    texts = sorted({cell for cell, is_in in zip(cells, training, strict=True) if is_in})
    if len(texts) > MOST_TEXTS:
        item = (
            f"column '{name}' has {len(texts)} different texts, '{texts[0]}' for one, at most {MOST_TEXTS} are inputs"
        )
        return None, Problem([item], f"leave it out, ignore=['{name}'], or make numbers of it, with a decimal point")
    return Text(name, tuple(texts)), Problem([])


def _lines(rows: Sequence[Row], chosen: Sequence[bool]) -> str:
    """`2 lines (3, 17)`; empty for none."""
    lines = [str(row.line) for row, is_in in zip(rows, chosen, strict=True) if is_in]
    named = ", ".join([*lines[:3], *(["..."] if len(lines) > 3 else [])])
    return f"{counted(len(lines), 'line')} ({named})" if lines else ""


def _encoded(column: Number | Text, row: Mapping[str, str]) -> list[float]:
    cell = row[column.name].strip()
    if isinstance(column, Text):
        return [float(cell == text) for text in column.texts]
    number = number_of(cell)
    if number is None:
        raise ValueError(f"column '{column.name}' has '{cell}': expected a number")
    return [(number - column.mean) / column.std]
