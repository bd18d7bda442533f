"""A training run: progress is logged, validated and checkpointed, so that any moment can be the last."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fewstep.divergence import DivergedError
from fewstep.durable import discard_leftovers
from fewstep.evaluation import Evaluation, evaluate
from fewstep.journal import Journal, Row
from fewstep.learner import Learner
from fewstep.lock import locked
from fewstep.mapping import Mapping, Workers
from fewstep.ranks import ALONE, Ranks
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tasks.splits import Splits
from fewstep.training import Training, updates

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
    preprocessing: Preprocessing | None = None
    """what became of the images of its tasks; None where the inputs are none"""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What the caller of a run wants: to see rows, and to say when it must stop after the update at hand.

    Several ranks stop together, once `must_stop` or the end of the `minutes` has come on any of them.
    """

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
    ranks: Ranks = ALONE,
) -> Run:
    """Train `learner` in place, from the newest checkpoint of `folder` if it has one.

    Bit-identical whether or not it was stopped and resumed, on the same machine, mapping and number of ranks. The
    first rank's learner is the one that all begin with, and it alone reads and writes the folder.
    """
    watch = watch or Watch()
    deadline = math.inf if watch.minutes is None else time.monotonic() + 60 * watch.minutes
    settings = dataclasses.replace(evaluation, tasks=training.validation_tasks, seed=seed)
    status: Status = "finished"
    place, folder = folder, folder if ranks.is_first else None

    def is_late() -> bool:
        return time.monotonic() > deadline

    asks = (watch.must_stop, is_late)
    with locked(folder), Workers(learner.model, mapping, seed=seed, ranks=ranks, asks=asks) as workers:
        if folder is not None:
            discard_leftovers(folder, idle_seconds=0)  # nobody else trains here
        journal = Journal(
            learner, training, identity=identity, about=about or {}, folder=folder, kept_best=evaluation.ensemble
        )
        journal.share(ranks)

        def is_due(every: int) -> bool:
            return journal.update > 0 and (journal.update % every == 0 or journal.update == training.updates)

        def validate() -> None:
            if splits.val is not None and is_due(training.validate_every):
                result = evaluate(learner, splits.val, settings, mapping=mapping, stream="val", ranks=ranks)
                watch.see(journal.log_validation(*result.score))

        if not journal.is_validated:  # a crash may have come between a checkpoint and its validation
            validate()
        optimizer, first = journal.optimizer, journal.update
        try:
            for progress in updates(learner, splits.train, training, optimizer, workers, seed=seed, first=first):
                watch.see(journal.log_progress(progress))
                interrupted, late = workers.asked()
                if progress.update < training.updates and (interrupted or late):
                    status = "interrupted" if interrupted else "out of time"
                if status != "finished" or is_due(training.checkpoint_every) or is_due(training.validate_every):
                    journal.save()
                validate()
                if status != "finished":
                    break
        except DivergedError as error:
            journal.log_divergence(str(error))
            raise DivergedError(f"{error}{_kept(journal, place)}") from error
    return _finished(learner, journal, mapping, status, splits.preprocessing)


def _kept(journal: Journal, folder: Path | None) -> str:
    """What a run that diverged has left in `folder`, as the end of a sentence; the same on all ranks."""
    if folder is None:
        return ""
    if journal.saved == 0:
        return f" ({folder} has no checkpoint yet)"
    best, meta = journal.selected
    also = "" if meta is None else f", and the best by validation, after update {best}"
    return f" ({folder} keeps the last checkpoint, after update {journal.saved}{also})"


def _finished(
    learner: Learner, journal: Journal, mapping: Mapping, status: Status, preprocessing: Preprocessing | None
) -> Run:
    update, meta = journal.selected
    return Run(
        learner=learner if meta is None else dataclasses.replace(learner, meta=meta),
        update=journal.update,
        selected_update=update,
        seconds=journal.elapsed(),
        history=journal.history,
        mapping=mapping,
        status=status,
        preprocessing=preprocessing,
    )
