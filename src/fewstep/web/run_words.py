"""What the playground says of a run, read off its folder without its data or its net."""

import shlex
from pathlib import Path

from fewstep import recipe as recipes
from fewstep.journal import best_update
from fewstep.recipe import Recipe
from fewstep.report.contents import duration, result_lines, status, step_scores
from fewstep.report.reproduce import fields, resume_command
from fewstep.result_file import read_result
from fewstep.run_folder import mapping_from, read_header
from fewstep.web.run_answers import Curves, Detail, Metric, Row, Status, Step
from fewstep.web.run_folders import SERVED, is_own
from fewstep.web.run_log import RunLog, Validation, curve_of


class Read:
    """A run as it was read at one moment.

    Raises `ValueError` for a damaged folder.
    """

    def __init__(self, name: str, folder: Path, log: RunLog, *, training: bool) -> None:
        self.name, self.folder, self.log, self.training = name, folder, log, training
        self.header, self.result = read_header(folder), read_result(folder)
        self.recipe = recipes.shown_of_run(self.header["recipe"])
        self.mapping = mapping_from(self.header["mapping"])
        self.ranks = int(self.header.get("ranks", 1))
        self.metric: Metric = "mse" if self.recipe.loss == "mean_squared_error" else "accuracy"

    @property
    def updates(self) -> int:
        """Outer updates done."""
        logged = self.log.trained[-1].update if self.log.trained else 0
        return max(logged, int(self.result["updates"]) if self.result else 0)

    @property
    def planned(self) -> int:
        """Outer updates to do."""
        return self.recipe.training.updates

    @property
    def seconds(self) -> float:
        """Of training."""
        logged = self.log.trained[-1].elapsed if self.log.trained else 0.0
        return max(logged, float(self.result["training_seconds"]) if self.result else 0.0)

    @property
    def status(self) -> Status:
        """Where it stands."""
        if self.training:
            return "training"
        if self.log.diverged is not None:
            return "diverged"
        if self.result is not None and self.result["updates"] >= self.updates:
            return "finished"
        return "untested" if self.updates >= self.planned else "stopped"

    def row(self) -> Row:
        """In the list."""
        return Row(
            name=self.name,
            status=self.status,
            recipe=self.recipe.name,
            algorithm=_algorithm(self.recipe, own=recipes.own_kind(self.header["recipe"])),
            updates=self.updates,
            planned=self.planned,
            result=self.result["line"] if self.result else "",
            validation=self._validation(),
            problem=self.log.diverged or "",
            changed=changed(self.folder),
        )

    def detail(self) -> Detail:
        """All but the curves."""
        return Detail(
            row=self.row(),
            about=self.recipe.about,
            warning=self.log.diverged or status(self.planned, self.result, self.updates),
            lines=result_lines(self.result),
            steps=[Step(**score._asdict()) for score in step_scores(self.result)],
            facts=self._facts(),
            audit=self.log.audit,
            fields={name: str(value) for name, value in fields(self.header["recipe"]).items()},
            commands=self._commands(),
            files=[name for name in SERVED if is_own(self.folder, name)],
        )

    def curves(self) -> Curves:
        """The curves alone."""
        return Curves(
            name=self.name,
            metric=self.metric,
            loss=curve_of(self.log.trained, lambda row: row.loss),
            score=curve_of(self.log.trained, lambda row: row.mse if self.metric == "mse" else row.accuracy),
            validation=self.log.validated,
            chosen=self._chosen(),
            updates=self.updates,
            planned=self.planned,
            seconds=self.seconds,
            training=self.training,
        )

    def _chosen(self) -> int | None:
        if self.result is not None:
            return int(self.result["selected_update"])
        rows = [{"kind": "validation", **row.model_dump()} for row in self.log.validated]
        return best_update(rows, self.metric == "accuracy")

    def _validation(self) -> str:
        if not self.log.validated:
            return ""
        newest = self.log.validated[-1]
        return f"{_score(self.metric, newest)} at update {newest.update}"

    def _facts(self) -> dict[str, str]:
        processes = f"{self.ranks} processes of " if self.ranks > 1 else ""
        return {
            "outer updates": f"{self.updates} of {self.planned}",
            "chosen by validation": "none" if not self.log.validated else f"update {self._chosen()}",
            "training time": duration(self.seconds),
            "seed": str(self.header["seed"]),
            "device": self.header["device"],
            "mapping": f"{processes}{self.mapping}",
        }

    def _commands(self) -> dict[str, str]:
        folder, is_done = shlex.quote(str(self.folder)), self.status == "finished"
        told = {} if is_done or self.training else {"go on": resume_command(self.folder, self.ranks)}
        if self.updates == 0 or (self.training and self.result is None):
            return told
        tested = {"test again": f"fewstep evaluate {folder} --tasks 1000 --seed 1"} if is_done else {}
        uses = {"use it": f"fewstep adapt {folder} --support FOLDER --out mine.fewstep"}
        audit = {"audit again": f"fewstep audit {folder}"}
        return {**told, **tested, **(uses if self.metric == "accuracy" else {}), **audit}


def damaged(name: str, folder: Path, error: Exception) -> Row:
    """The row of a folder that cannot be read."""
    return Row(name=name, status="damaged", problem=str(error), changed=changed(folder))


def changed(folder: Path) -> float:
    """When the newest file of a run folder was written, in seconds since the epoch."""
    try:
        return max((path.stat().st_mtime for path in folder.iterdir() if path.is_file()), default=0.0)
    except OSError:  # gone since it was found
        return 0.0


def _algorithm(recipe: Recipe, own: str | None) -> str:
    if own is not None:
        return own.partition(":")[2]
    name, steps = type(recipe.algorithm).__name__, recipe.algorithm.inner_steps
    return f"{name}, {steps} inner step{'' if steps == 1 else 's'}" if steps else name


def _score(metric: Metric, row: Validation) -> str:
    if metric == "mse":
        return f"MSE {row.score:.4f} ± {row.ci95:.4f}"
    return f"{100 * row.score:.2f} ± {100 * row.ci95:.2f} %"
