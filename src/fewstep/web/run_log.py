"""The log of a run as its curves: read on from where it was read to, and thinned for drawing."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from fewstep.journal import METRICS

FEWEST_POINTS, MOST_POINTS = 24, 240
"""Points of a drawn curve, of rows enough; what lies between two of them is told by its extremes."""
EACH = 5
"""Rows that a point is the mean of, in between."""

Count = Annotated[int, Field(ge=0, le=2**53)]
"""A whole number that a browser can hold, too."""


class Finding(BaseModel):
    """A line of the audit's card."""

    name: str
    verdict: str
    finding: str


class Audited(BaseModel):
    """What the audit found before the first update."""

    kind: Literal["audit"]
    checks: list[Finding]


class Trained(BaseModel):
    """An update: loss and score of its queries, seconds of training by then."""

    kind: Literal["train"]
    update: Count
    loss: float | None = None
    accuracy: float | None = None
    mse: float | None = None
    elapsed: FiniteFloat = 0.0


class Validation(BaseModel):
    """A score on validation tasks, with the half width of its 95 % confidence interval."""

    update: Count
    score: FiniteFloat
    ci95: FiniteFloat


class Validated(Validation):
    """The same as a line of the log; one that is not finite is left out."""

    kind: Literal["validation"]


class Diverged(BaseModel):
    """Why no update followed."""

    kind: Literal["diverged"]
    reason: str


LINE: TypeAdapter[Audited | Trained | Validated | Diverged] = TypeAdapter(
    Annotated[Audited | Trained | Validated | Diverged, Field(discriminator="kind")]
)


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
        self.audit: list[Finding] = []
        self.trained: list[Trained] = []
        self.validated: list[Validation] = []
        self.diverged: str | None = None

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
            self._begin((0, 0))
            return
        for line in lines[:-1]:
            self._offset += len(line) + 1
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            row = LINE.validate_json(line)
        except ValidationError:
            return  # damaged: the others are still worth showing
        self.diverged = row.reason if isinstance(row, Diverged) else None  # of a run that went on since, no more
        if isinstance(row, Audited):
            self.audit = row.checks
        elif isinstance(row, Trained):
            self.trained.append(row)
        elif isinstance(row, Validated):
            self.validated.append(Validation(update=row.update, score=row.score, ci95=row.ci95))


def curve_of(rows: Sequence[Trained], value: Callable[[Trained], float | None]) -> Curve:
    """A value of the rows that have a finite one, smoothed and thinned."""
    pairs = [(row.update, found) for row in rows if (found := value(row)) is not None]
    table = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64).reshape(-1, 2)
    if not len(table):
        return Curve(update=[], mean=[], low=[], high=[])
    pieces = np.array_split(table, min(len(table), max(FEWEST_POINTS, min(MOST_POINTS, len(table) // EACH))))
    return Curve(
        update=[int(piece[-1, 0]) for piece in pieces],
        mean=[float(piece[:, 1].mean()) for piece in pieces],
        low=[float(piece[:, 1].min()) for piece in pieces],
        high=[float(piece[:, 1].max()) for piece in pieces],
    )
