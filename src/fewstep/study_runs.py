"""The runs of a study, from wherever they stand to result and page, on an engine that spreads them."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch

from fewstep import experiment
from fewstep.journal import Row
from fewstep.record import read_record
from fewstep.report import page
from fewstep.run import Status, Watch
from fewstep.run_folder import RECIPE
from fewstep.study import Job, is_done

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_ROWS = 10.0
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a run may use: `minutes` of training in all, earlier sessions included."""

    data_root: Path
    minutes: float | None = None
    threads: int = 1


class Outcome(NamedTuple):
    """How a run ended; `words` is its result line, or its error."""

    job: Job
    status: Status | Literal["already done", "failed"]
    words: str


class Engine(Protocol):
    """Where runs are brought to their ends: `study_processes` and `study_ray` hold one each."""

    def room(self, threads: int) -> int:
        """How many runs of so many threads fit at a time, one at least."""

    def start(self, job: Job, means: Means) -> None:
        """Begin to bring a job to its end, elsewhere; `outcome_of` is what is done there."""

    def listen(self) -> list[tuple[Job, Row | Outcome]]:
        """What came from the jobs, after a moment's wait: some of their rows, and in the end an outcome of each."""

    def stop(self) -> None:
        """Ask every job to save and to come to an end."""


def run_all(
    jobs: Sequence[Job],
    means: Means,
    engine: Engine,
    *,
    at_once: int,
    see: Callable[[Job, Row | Outcome], None] = lambda job, what: None,
    must_stop: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Bring every job to its end, `at_once` at a time; a job that fails leaves the others alone.

    `see` gets some of the rows of every run, and its outcome. Once `must_stop` is true the runs at hand save and stop.
    """
    if at_once < 1:
        raise ValueError(f"jobs={at_once}: expected 1 or more")
    waiting, live, stopping, outcomes = deque(jobs), 0, False, list[Outcome]()
    while waiting or live:
        if not stopping and must_stop():
            stopping = True
            waiting.clear()
            engine.stop()
        news: list[tuple[Job, Row | Outcome]] = []
        while waiting and live < at_once:
            job = waiting.popleft()
            done = line_if_done(job, means)
            if done is None:
                engine.start(job, means)
                live += 1
            else:
                news.append((job, Outcome(job, "already done", done)))
        news += engine.listen() if live else []
        for job, what in news:
            if isinstance(what, Outcome):
                outcomes.append(what)
                live -= what.status != "already done"
            see(job, what)
    return outcomes


def line_if_done(job: Job, means: Means) -> str | None:
    """The result line of a run with nothing left to do, None for one that has."""
    if not (job.folder / RECIPE).exists():
        return None
    record = read_record(job.folder)
    return str(record.result["line"]) if record.result and is_done(record, means.minutes) else None


def outcome_of(job: Job, means: Means, tell: Callable[[Row], None], must_stop: Callable[[], bool]) -> Outcome:
    """What an engine has done elsewhere: the job, telling of some of its rows. An error is an outcome too."""
    torch.set_num_threads(1)
    try:
        return bring_to_end(job, means, Watch(see=_seldom(tell), must_stop=must_stop))
    except (ValueError, OSError, ArithmeticError) as error:
        return Outcome(job, "failed", str(error))
    except Exception as error:
        logger.exception("%s failed", job.name)
        return Outcome(job, "failed", f"unexpected {type(error).__name__}: {error}")


def bring_to_end(job: Job, means: Means, watch: Watch) -> Outcome:
    """Create the run or take it up, train, test, and write its report, in this process."""
    minutes = means.minutes
    if (job.folder / RECIPE).exists():
        made = experiment.load(job.folder, data_root=means.data_root)
        spent = read_record(job.folder).seconds / 60
        minutes = None if minutes is None else max(minutes - spent, 0.0)
    else:
        made = experiment.create(
            job.recipe, job.folder, data_root=means.data_root, seed=job.seed, threads=means.threads
        )
    run = experiment.train(made, Watch(see=watch.see, must_stop=watch.must_stop, minutes=minutes))
    line = f"saved at update {run.update}" if run.status == "interrupted" else str(experiment.finish(made, run))
    page.write(made, run.learner)
    return Outcome(job, run.status, line)


def _seldom(tell: Callable[[Row], None]) -> Callable[[Row], None]:
    """Tells of every validation, and now and then of an update."""
    told = -math.inf

    def see(row: Row) -> None:
        nonlocal told
        now = time.monotonic()
        if row["kind"] == "validation" or now - told >= SECONDS_BETWEEN_ROWS:
            told = now
            tell(row)

    return see
