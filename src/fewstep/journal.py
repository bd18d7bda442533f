"""The memory of a run: its log, its checkpoints and the best so far, each on disk before anything counts on it."""

import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fewstep.card import Card
from fewstep.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from fewstep.core import Meta, map_tensors
from fewstep.durable import append_line, replace_file, sync_file
from fewstep.learner import Learner
from fewstep.log_rows import rows_of
from fewstep.optimizer_state import put_state
from fewstep.ranks import Ranks
from fewstep.training import Progress, Training, outer_optimizer

METRICS = "metrics.jsonl"
BEST = "best.safetensors"
AMONG_BEST = "best-*.safetensors"
KEPT_CHECKPOINTS = 3

Row = dict[str, Any]
"""A line of `metrics.jsonl`: `kind` is "audit", "train", "validation" or "diverged"; `update` counts from 1; wall
seconds. The `score` of a validation is None where it is not finite."""


class _Memory(NamedTuple):
    """What a journal knows, for another rank."""

    newest: Checkpoint
    history: list[Row]
    best: Meta | None


class Journal:
    """The memory of a run, in `folder` if there is one: metrics, checkpoints, the best so far."""

    def __init__(
        self,
        learner: Learner,
        training: Training,
        *,
        identity: str,
        about: dict[str, Any],
        folder: Path | None,
        kept_best: int = 1,
    ) -> None:
        self.optimizer = outer_optimizer(learner.meta, training)
        self.update = self.saved = 0
        self.history: list[Row] = []
        self._learner, self._higher_is_better = learner, learner.model.is_classifier
        self._identity, self._about, self._folder, self._kept_best = identity, about, folder, kept_best
        self._best: Meta | None = None
        self._seconds_before = 0.0
        self._began = time.monotonic()
        if folder is not None and checkpoints(folder):
            self._restore(folder, checkpoints(folder)[-1])
        elif folder is not None:
            self.history = cut_metrics(folder / METRICS, 0)

    def share(self, ranks: Ranks) -> None:
        """Let all ranks know what the first one knows: what was learned by now, the log, the best so far."""
        told = ranks.from_first(lambda: _Memory(self._checkpoint(), self.history, self._best))
        if not ranks.is_first:
            self._go_on_from(told.newest, "what the first rank begins with")
            self.history = told.history
            self._best = None if told.best is None else _like(self._learner.meta, told.best, "the first rank's best")

    def log_progress(self, progress: Progress) -> Row:
        """Note one update."""
        self.update = progress.update
        metric = "accuracy" if self._higher_is_better else "mse"
        row = {**progress._asdict(), metric: progress.score, "elapsed": self.elapsed()}
        del row["score"]
        return self._append({"kind": "train", **row})

    def log_validation(self, mean: float, ci95: float) -> Row:
        """Note the validation of the last update, and keep what was learned if it is the best so far."""
        finite = math.isfinite(mean) and math.isfinite(ci95)
        score, error = (mean, ci95) if finite else (None, None)
        row = self._append({"kind": "validation", "update": self.update, "score": score, "ci95": error})
        if best_update(self.history, self._higher_is_better) == self.update:
            self._best = map_tensors(torch.clone, self._learner.meta)
            if self._folder is not None:
                sync_file(self._folder / METRICS)
                save_checkpoint(self._folder / BEST, self._checkpoint())
        if self._folder is not None and self._kept_best > 1:
            self._keep_among_best(self._folder)
        return row

    def log_divergence(self, reason: str) -> None:
        """Note why no update follows the last one."""
        self._append({"kind": "diverged", "update": self.update, "reason": reason})

    def _keep_among_best(self, folder: Path) -> None:
        """For an ensemble: a file of its own for each of the best, the others go."""
        kept = {
            among_best_path(folder, update)
            for update in best_updates(self.history, self._higher_is_better)[: self._kept_best]
        }
        mine = among_best_path(folder, self.update)
        if mine in kept and not mine.exists():
            save_checkpoint(mine, self._checkpoint())
        for path in set(folder.glob(AMONG_BEST)) - kept:
            path.unlink()

    def save(self) -> None:
        """A checkpoint now, after the log that it counts on. Older ones than the last few go."""
        self.saved = self.update
        if self._folder is None:
            return
        sync_file(self._folder / METRICS)
        save_checkpoint(checkpoint_path(self._folder, self.update), self._checkpoint())
        for old in checkpoints(self._folder)[:-KEPT_CHECKPOINTS]:
            old.unlink()

    @property
    def selected(self) -> tuple[int, Meta | None]:
        """The update that validation selects, and what was learned by then; None for the last."""
        update = best_update(self.history, self._higher_is_better)
        return (self.update, None) if update is None or self._best is None else (update, self._best)

    @property
    def is_validated(self) -> bool:
        """Whether the last update has its validation."""
        return any(row["kind"] == "validation" and row["update"] == self.update for row in self.history)

    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._seconds_before + time.monotonic() - self._began

    def _checkpoint(self) -> Checkpoint:
        optimizer = self.optimizer.state_dict()
        return Checkpoint(self.update, self.elapsed(), self._identity, self._learner.meta, optimizer, self._about)

    def _append(self, row: Row) -> Row:
        self.history.append(row)
        if self._folder is not None:
            append_line(self._folder / METRICS, json.dumps(row))
        return row

    def _go_on_from(self, checkpoint: Checkpoint, source: Path | str) -> None:
        put_meta(self._learner, checkpoint.meta, source)
        put_state(self.optimizer, checkpoint.optimizer, source)
        self.update, self._seconds_before = checkpoint.update, checkpoint.seconds
        self.saved = checkpoint.update

    def _restore(self, folder: Path, newest: Path) -> None:
        checkpoint = load_checkpoint(newest, identity=self._identity)
        self._go_on_from(checkpoint, newest)
        self.history = cut_metrics(folder / METRICS, checkpoint.update)
        selected = best_update(self.history, self._higher_is_better)
        for path in (folder / BEST, checkpoint_path(folder, selected or 0)):
            if path.exists() and (best := load_checkpoint(path, identity=self._identity)).update == selected:
                self._best = _like(self._learner.meta, best.meta, path)
                if path.name != BEST:  # deleted, or a crash came between the validation and the best's own file
                    save_checkpoint(folder / BEST, best)
                break
        if self._kept_best > 1 and self.is_validated:  # a crash may have come before its file
            self._keep_among_best(folder)


def begin_log(folder: Path, card: Card) -> None:
    """Start the log of a run with what its audit found."""
    row = {"kind": "audit", "update": 0, **card.as_json()}
    replace_file(folder / METRICS, (json.dumps(row) + "\n").encode())


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def checkpoint_path(folder: Path, update: int) -> Path:
    """Where the checkpoint of an update lies."""
    return folder / f"checkpoint-{update:08d}.safetensors"


def newest_update(folder: Path) -> int:
    """How many updates the newest checkpoint has behind it; 0 where there is none."""
    return max((int(path.stem.removeprefix("checkpoint-")) for path in checkpoints(folder)), default=0)


def put_meta(learner: Learner, meta: Meta, source: Path | str) -> None:
    """Copy the tensors of `meta`, read from `source`, into the learner's own.

    Raises `ValueError` where names or shapes differ; the learner is then as it was.
    """
    map_tensors(lambda old, new: old.detach().copy_(new), learner.meta, _like(learner.meta, meta, source))


def _like(mine: Meta, theirs: Meta, source: Path | str) -> Meta:
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


def among_best_path(folder: Path, update: int) -> Path:
    """Where one of the best checkpoints lies, where an ensemble keeps several."""
    return folder / f"best-{update:08d}.safetensors"


def best_updates(history: list[Row], higher_is_better: bool) -> list[int]:
    """The updates with a finite validation score, best first, the earlier of equals first."""
    rows = [row for row in history if row["kind"] == "validation" and row["score"] is not None]
    return [int(row["update"]) for row in sorted(rows, key=lambda r: -r["score"] if higher_is_better else r["score"])]


def best_update(history: list[Row], higher_is_better: bool) -> int | None:
    """The update with the best validation score, the earliest of equals; None before a finite one."""
    return next(iter(best_updates(history, higher_is_better)), None)


def read_metrics(path: Path) -> list[Row]:
    """The rows of `metrics.jsonl`; a half-written last line, as a crash leaves it, is left out.

    Raises `ValueError` for a line that is damaged otherwise.
    """
    return rows_of(path.read_bytes(), path) if path.exists() else []


def cut_metrics(path: Path, update: int) -> list[Row]:
    """Cut the file back to what the checkpoint at `update` knows, and return its rows."""
    rows = [row for row in read_metrics(path) if row["update"] <= update and row["kind"] != "diverged"]
    replace_file(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows
