"""What the playground says of a run, read off its folder without its data or its net."""

import json
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from fewstep import recipe as recipes
from fewstep.journal import best_update
from fewstep.recipe import Recipe
from fewstep.report.contents import duration, result_lines, step_scores
from fewstep.report.reproduce import fields, resume_command
from fewstep.result_file import RESULT
from fewstep.run_folder import read_header
from fewstep.web.run_folders import is_training
from fewstep.web.run_log import Curve, RunLog, curve_of

Status = Literal["training", "finished", "stopped", "damaged"]
FILES = ("report.html", "tasks.png", "adaptation.png")
"""What is served of a run folder."""


class Row(BaseModel):
    """A run in the list."""

    name: str
    status: Status
    recipe: str = ""
    algorithm: str = ""
    updates: int = 0
    planned: int = 0
    result: str = ""
    """the result line; empty before the test"""
    validation: str = ""
    """the newest"""
    problem: str = ""
    """why a damaged one cannot be shown"""
    changed: float
    """seconds since the epoch"""


class Step(BaseModel):
    """The score after some inner steps; `share` of a full bar."""

    step: int
    text: str
    share: float


class Finding(BaseModel):
    """A line of the audit's card."""

    name: str
    verdict: str
    finding: str


class Detail(BaseModel):
    """All that the page shows of a run but its curves."""

    row: Row
    about: str
    lines: list[tuple[str, str]]
    """value and conditions of the result lines"""
    steps: list[Step]
    facts: dict[str, str]
    audit: list[Finding]
    fields: dict[str, str]
    """the whole recipe under the names of the command line"""
    commands: dict[str, str]
    files: list[str]


class Validation(BaseModel):
    """A score on validation tasks, with the half width of its 95 % confidence interval."""

    update: int
    score: float
    ci95: float


class Curves(BaseModel):
    """The curves of a run; `metric` is accuracy in [0, 1], or mse."""

    name: str
    metric: Literal["accuracy", "mse"]
    loss: Curve
    score: Curve
    validation: list[Validation]
    chosen: int | None
    """the update that validation chose"""
    updates: int
    planned: int
    training: bool


class Read:
    """A run as it was read at one moment.

    Raises `ValueError` for a damaged folder.
    """

    def __init__(self, name: str, folder: Path, log: RunLog) -> None:
        self.name, self.folder, self.log = name, folder, log
        self.header = read_header(folder)
        self.recipe: Recipe = recipes.from_json(self.header["recipe"])
        self.result = _result(folder / RESULT)
        self.metric: Literal["accuracy", "mse"] = "mse" if self.recipe.loss == "mean_squared_error" else "accuracy"

    @property
    def updates(self) -> int:
        """Outer updates done."""
        logged = int(self.log.trained[-1]["update"]) if self.log.trained else 0
        return max(logged, int(self.result["updates"]) if self.result else 0)

    def row(self) -> Row:
        """In the list."""
        newest = self.log.validated[-1] if self.log.validated else None
        told = "" if newest is None else f"{self._score(newest['score'])} at {newest['update']}"
        status: Status = "training" if is_training(self.folder) else "finished" if self._is_finished() else "stopped"
        return Row(
            name=self.name,
            status=status,
            recipe=self.recipe.name,
            algorithm=type(self.recipe.algorithm).__name__,
            updates=self.updates,
            planned=self.recipe.training.updates,
            result=self.result["line"] if self.result else "",
            validation=told,
            changed=changed(self.folder),
        )

    def detail(self) -> Detail:
        """All but the curves."""
        return Detail(
            row=self.row(),
            about=self.recipe.about,
            lines=result_lines(self.result),
            steps=[Step(**score._asdict()) for score in step_scores(self.result)],
            facts=self._facts(),
            audit=[Finding(**check) for check in (self.log.audit or {}).get("checks", [])],
            fields={name: str(value) for name, value in fields(self.header["recipe"]).items()},
            commands=self._commands(),
            files=[name for name in FILES if (self.folder / name).is_file()],
        )

    def curves(self) -> Curves:
        """The curves alone."""
        return Curves(
            name=self.name,
            metric=self.metric,
            loss=curve_of(self.log.trained, "loss"),
            score=curve_of(self.log.trained, self.metric),
            validation=[Validation(**{key: row[key] for key in Validation.model_fields}) for row in self.log.validated],
            chosen=best_update(self.log.validated, self.metric == "accuracy"),
            updates=self.updates,
            planned=self.recipe.training.updates,
            training=is_training(self.folder),
        )

    def _is_finished(self) -> bool:
        return self.result is not None and int(self.result["updates"]) >= self.updates

    def _score(self, score: float) -> str:
        return f"{100 * score:.2f} %" if self.metric == "accuracy" else f"MSE {score:.4f}"

    def _facts(self) -> dict[str, str]:
        logged = float(self.log.trained[-1]["elapsed"]) if self.log.trained else 0.0
        seconds = max(logged, float(self.result["training_seconds"]) if self.result else 0.0)
        mapping = ", ".join(f"{name} {value}" for name, value in self.header["mapping"].items())
        return {
            "outer updates": f"{self.updates} of {self.recipe.training.updates}",
            "training time": duration(seconds),
            "seed": str(self.header["seed"]),
            "device": str(self.header["device"]),
            "norm policy": self.recipe.norm,
            "mapping": mapping,
        }

    def _commands(self) -> dict[str, str]:
        folder = shlex.quote(str(self.folder))
        told = {"go on training": resume_command(self.folder, int(self.header.get("ranks", 1)))}
        if self.result is None:
            return told
        tested = {"test again": f"fewstep evaluate {folder} --tasks 1000 --seed 1", "audit": f"fewstep audit {folder}"}
        uses = {"use it": f"fewstep adapt {folder} --support FOLDER --out mine.fewstep"}
        return {**tested, **(uses if self.metric == "accuracy" else {}), **({} if self._is_finished() else told)}


def damaged(name: str, folder: Path, error: Exception) -> Row:
    """The row of a folder that cannot be read."""
    return Row(name=name, status="damaged", problem=str(error), changed=changed(folder))


def changed(folder: Path) -> float:
    """When the newest file of a run folder was written, in seconds since the epoch."""
    try:
        return max((path.stat().st_mtime for path in folder.iterdir() if path.is_file()), default=0.0)
    except OSError:  # gone since it was found
        return 0.0


def _result(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        if missing := {"line", "updates", "training_seconds", "at_step", "metric", "transductive"} - set(found):
            raise ValueError(f"it has no {', '.join(sorted(missing))}")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return found
