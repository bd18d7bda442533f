"""The log of a run as its curves: read on from where it was read to, and thinned for drawing."""

import json
import os
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from fewstep.journal import METRICS, Row

MOST_POINTS = 240
"""Points of a drawn curve; what lies between two of them is told by its least and its largest value."""


class Curve(BaseModel):
    """Values over outer updates, averaged over stretches of equal length, with the extremes of every stretch."""

    update: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


class RunLog:
    """The rows of one `metrics.jsonl`; `read` takes in what is new, or all of it where the file was cut or replaced."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METRICS
        self._begin((0, 0))

    def _begin(self, file: tuple[int, int]) -> None:
        self._file, self._offset = file, 0
        self.audit: Row | None = None
        self.trained: list[Row] = []
        self.validated: list[Row] = []

    def read(self) -> None:
        """Take in whole new lines; a half-written last one is left for the next time."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_dev, found.st_ino) != self._file or found.st_size < self._offset:
                    self._begin((found.st_dev, found.st_ino))
                file.seek(self._offset)
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines[:-1]:
            self._offset += len(line) + 1
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            row: Row = json.loads(line)
            kind, _ = row["kind"], int(row["update"])
        except (ValueError, KeyError, TypeError):
            return  # damaged: the others are still worth showing
        if kind == "audit":
            self.audit = row
        elif kind == "train":
            self.trained.append(row)
        elif kind == "validation" and row.get("score") is not None:
            self.validated.append(row)


def curve_of(rows: list[Row], key: str, most: int = MOST_POINTS) -> Curve:
    """`key` of the rows that have a finite one, in at most `most` points."""
    numbers = [(row["update"], row[key]) for row in rows if isinstance(row.get(key), int | float)]
    table = np.array([pair for pair in numbers if np.isfinite(pair[1])], dtype=np.float64).reshape(-1, 2)
    if not len(table):
        return Curve(update=[], mean=[], low=[], high=[])
    pieces = np.array_split(table, min(most, len(table)))
    return Curve(
        update=[int(piece[-1, 0]) for piece in pieces],
        mean=[float(piece[:, 1].mean()) for piece in pieces],
        low=[float(piece[:, 1].min()) for piece in pieces],
        high=[float(piece[:, 1].max()) for piece in pieces],
    )
