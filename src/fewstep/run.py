"""A training run: progress is logged, validated and checkpointed, so that any moment can be the last."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from fewstep.checkpoint import Checkpoint, load_checkpoint, replace_file, save_checkpoint
from fewstep.core import Meta, map_tensors
from fewstep.evaluation import Evaluation, evaluate
from fewstep.learner import Learner
from fewstep.mapping import Mapping, Workers
from fewstep.tasks.splits import Splits
from fewstep.training import Progress, Training, outer_optimizer, updates

METRICS = "metrics.jsonl"
BEST = "best.safetensors"
KEPT_CHECKPOINTS = 3

Row = dict[str, Any]
"""A line of `metrics.jsonl`: `kind` is "audit", "train" or "validation"; `update` counts from 1; wall seconds."""

Status = Literal["finished", "out of time", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run when it stopped: `learner` is the best by validation, or the last where there is no validation."""

    learner: Learner
    update: int
    selected_update: int
    seconds: float
    history: list[Row]
    mapping: Mapping
    status: Status


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What the caller of a run wants: to see rows, and to say when it must stop after the update at hand."""

    see: Callable[[Row], None] = lambda row: None
    must_stop: Callable[[], bool] = lambda: False
    minutes: float | None = None


def train_run(
    learner: Learner,
    splits: Splits,
    training: Training,
    evaluation: Evaluation,
    *,
    seed: int,
    mapping: Mapping,
    identity: str = "",
    about: dict[str, Any] | None = None,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Run:
    """Train `learner` in place, from the newest checkpoint of `folder` if it has one.

    Bit-identical whether or not it was stopped and resumed, on the same machine and mapping.
    """
    watch = watch or Watch()
    journal = Journal(learner, training, identity=identity, about=about or {}, folder=folder)
    deadline = math.inf if watch.minutes is None else time.monotonic() + 60 * watch.minutes
    status: Status = "finished"
    validation = Evaluation(
        tasks=training.validation_tasks, steps=evaluation.steps, seed=seed, inner_lr=evaluation.inner_lr
    )
    with Workers(learner.model, mapping, seed=seed) as workers:
        steps = updates(learner, splits.train, training, journal.optimizer, workers, seed=seed, first=journal.update)
        for progress in steps:
            watch.see(journal.log_progress(progress, learner))
            last = progress.update == training.updates
            stopping = not last and (watch.must_stop() or time.monotonic() > deadline)
            due = last or progress.update % training.validate_every == 0
            if due and splits.val is not None:
                result = evaluate(learner, splits.val, validation, mapping=mapping, stream="val")
                watch.see(journal.log_validation(progress.update, result.score.mean, result.score.ci95))
            if due or stopping or progress.update % training.checkpoint_every == 0:
                journal.save(learner)
            if stopping:
                status = "interrupted" if watch.must_stop() else "out of time"
                break
    return journal.finished(learner, mapping, status)


class Journal:
    """The memory of a run, in `folder` if there is one: metrics, checkpoints, the best so far."""

    def __init__(
        self, learner: Learner, training: Training, *, identity: str, about: dict[str, Any], folder: Path | None
    ) -> None:
        self.optimizer = outer_optimizer(learner.meta, training)
        self.update, self.seconds = 0, 0.0
        self.history: list[Row] = []
        self._identity, self._about, self._folder = identity, about, folder
        self._best: Meta | None = None
        self._began = time.monotonic()
        if folder is not None and checkpoints(folder):
            self._restore(learner, folder, checkpoints(folder)[-1])
        elif folder is not None:
            self.history = cut_metrics(folder / METRICS, 0)

    def log_progress(self, progress: Progress, learner: Learner) -> Row:
        """Note one update."""
        self.update = progress.update
        metric = "accuracy" if learner.model.is_classifier else "mse"
        row = {**progress._asdict(), metric: progress.score, "elapsed": self._elapsed()}
        del row["score"]
        return self._append({"kind": "train", **row})

    def log_validation(self, update: int, mean: float, ci95: float) -> Row:
        """Note one validation."""
        return self._append({"kind": "validation", "update": update, "score": mean, "ci95": ci95})

    def save(self, learner: Learner) -> None:
        """A checkpoint now; the best one too, if this is it. Older ones than the last few go."""
        is_best = best_update(self.history, learner.model.is_classifier) == self.update
        if is_best:
            self._best = map_tensors(torch.clone, learner.meta)
        if self._folder is None:
            return
        checkpoint = Checkpoint(
            self.update,
            self._elapsed(),
            self._identity,
            learner.meta,
            self.optimizer.state_dict(),
            self._about,
        )
        save_checkpoint(self._folder / f"checkpoint-{self.update:08d}.safetensors", checkpoint)
        if is_best:
            save_checkpoint(self._folder / BEST, checkpoint)
        for old in checkpoints(self._folder)[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def finished(self, learner: Learner, mapping: Mapping, status: Status) -> Run:
        """The run as it stands, with the learner that validation selects."""
        selected = best_update(self.history, learner.model.is_classifier)
        meta = learner.meta if self._best is None else self._best
        return Run(
            learner=Learner(model=learner.model, algorithm=learner.algorithm, meta=meta),
            update=self.update,
            selected_update=self.update if self._best is None or selected is None else selected,
            seconds=self._elapsed(),
            history=self.history,
            mapping=mapping,
            status=status,
        )

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self._began

    def _append(self, row: Row) -> Row:
        self.history.append(row)
        if self._folder is not None:
            with (self._folder / METRICS).open("a") as file:
                file.write(json.dumps(row) + "\n")
        return row

    def _restore(self, learner: Learner, folder: Path, newest: Path) -> None:
        checkpoint = load_checkpoint(newest, identity=self._identity)
        put_meta(learner, checkpoint.meta, newest)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.update, self.seconds = checkpoint.update, checkpoint.seconds
        self.history = cut_metrics(folder / METRICS, checkpoint.update)
        selected = best_update(self.history, learner.model.is_classifier)
        if selected == self.update:  # a crash may have come between this checkpoint and its copy as the best
            save_checkpoint(folder / BEST, checkpoint)
        if selected is not None:
            best = load_checkpoint(folder / BEST, identity=self._identity)
            if best.update == selected:  # else it is of an update that will come again
                self._best = _like(learner.meta, best.meta, folder / BEST)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def newest_update(folder: Path) -> int:
    """How many updates the newest checkpoint has behind it; 0 where there is none."""
    return max((int(path.stem.removeprefix("checkpoint-")) for path in checkpoints(folder)), default=0)


def put_meta(learner: Learner, meta: Meta, source: Path) -> None:
    """Copy the tensors of `meta`, read from `source`, into the learner's own.

    Raises `ValueError` where names or shapes differ; the learner is then as it was.
    """
    map_tensors(lambda old, new: old.copy_(new), learner.meta, _like(learner.meta, meta, source))


def _like(mine: Meta, theirs: Meta, source: Path) -> Meta:
    """`theirs` in the order of `mine`, every tensor of the same name and shape."""

    misfit = f"{source} does not fit this net and algorithm"

    def checked(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        if old.shape != new.shape:
            raise ValueError(f"{misfit}: a tensor has shape {list(new.shape)}, expected {list(old.shape)}")
        return new.to(old.device)

    if _names(mine) != _names(theirs):
        raise ValueError(f"{misfit}: the names of its tensors differ")
    return map_tensors(checked, mine, theirs)


def _names(meta: Meta) -> list[dict[str, set[str]]]:
    return [{group: set(params) for group, params in groups.items()} for groups in meta]


def best_update(history: list[Row], higher_is_better: bool) -> int | None:
    """The update with the best validation score, the earliest of equals; None before any validation."""
    rows = [row for row in history if row["kind"] == "validation"]
    if not rows:
        return None
    best = max(rows, key=lambda row: row["score"] if higher_is_better else -row["score"])
    return int(best["update"])


def read_metrics(path: Path) -> list[Row]:
    """The rows of `metrics.jsonl`; a half-written last line, as a crash leaves it, is left out."""
    rows: list[Row] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def cut_metrics(path: Path, update: int) -> list[Row]:
    """Cut the file back to what the checkpoint at `update` knows, and return its rows."""
    rows = [row for row in read_metrics(path) if row["update"] <= update]
    replace_file(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows
