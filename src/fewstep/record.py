"""A run folder as it reads, with no data and no net: its recipe, its log and its result, as far as they go."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fewstep import recipe as recipes
from fewstep.journal import METRICS, Row, read_metrics
from fewstep.recipe import Recipe
from fewstep.result_file import Result, read_result
from fewstep.run_folder import RECIPE, read_header


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run folder says; `result` is None where the run has not been tested."""

    folder: Path
    header: dict[str, Any]
    rows: list[Row]
    result: Result | None

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, resolved."""
        return recipes.from_run(self.header["recipe"])

    @property
    def seed(self) -> int:
        """The seed of training."""
        return int(self.header["seed"])

    @property
    def metric(self) -> str:
        """`accuracy`, or `mse`."""
        return "mse" if self.recipe.loss == "mean_squared_error" else "accuracy"

    @cached_property
    def trained(self) -> list[Row]:
        """The rows of outer updates."""
        return [row for row in self.rows if row["kind"] == "train"]

    @cached_property
    def validated(self) -> list[Row]:
        """The rows of validations with a finite score."""
        return [row for row in self.rows if row["kind"] == "validation" and row["score"] is not None]

    @property
    def updates(self) -> int:
        """Outer updates done."""
        tested = self.result["updates"] if self.result else 0
        return max([tested, *(int(row["update"]) for row in self.trained[-1:])])

    @property
    def planned(self) -> int:
        """Outer updates of the whole recipe."""
        return self.recipe.training.updates

    @property
    def seconds(self) -> float:
        """Wall seconds of training so far."""
        logged = float(self.trained[-1]["elapsed"]) if self.trained else 0.0
        return max(logged, self.result["training_seconds"] if self.result else 0.0)

    @property
    def is_tested_as_it_is(self) -> bool:
        """Whether the result is of the newest update."""
        return self.result is not None and self.result["updates"] >= self.updates

    @property
    def threads(self) -> int:
        """Threads over tasks, of all processes together."""
        return int(self.header["mapping"]["threads"]) * int(self.header.get("ranks", 1))


def read_record(folder: Path) -> Record:
    """Read a run folder.

    Raises `ValueError` for a folder without a run, or with a damaged one.
    """
    rows = read_metrics(folder / METRICS)
    return Record(folder=folder, header=read_header(folder), rows=rows, result=read_result(folder))


def records_in(folder: Path) -> list[Record]:
    """The runs whose folders lie in `folder`, by the names of their folders."""
    return [read_record(path.parent) for path in sorted(folder.glob(f"*/{RECIPE}"))]
