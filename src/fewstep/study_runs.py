"""The runs of a study, from wherever they stand to result and page, spread over processes of this machine."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from fewstep import experiment
from fewstep.experiment import RECIPE
from fewstep.journal import Row
from fewstep.record import read_record
from fewstep.report import page
from fewstep.run import Status, Watch
from fewstep.study import Job, is_done

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


def run_all(
    jobs: Sequence[Job],
    means: Means,
    *,
    processes: int,
    see: Callable[[Job, Row | Outcome], None] = lambda job, what: None,
    must_stop: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Bring every job to its end, `processes` at a time; a job that fails leaves the others alone.

    `see` gets some of the rows of every run, and its outcome. Once `must_stop` is true the runs at hand save and stop.
    """
    if processes < 1:
        raise ValueError(f"jobs={processes}: expected 1 or more")
    context = multiprocessing.get_context("spawn")
    stop, waiting, live, outcomes = context.Event(), deque(jobs), list[_Live](), list[Outcome]()

    def end(outcome: Outcome) -> None:
        outcomes.append(outcome)
        see(outcome.job, outcome)

    try:
        while waiting or live:
            if must_stop():
                stop.set()
                waiting.clear()
            while waiting and len(live) < processes:
                job = waiting.popleft()
                done = line_if_done(job, means)
                if done is None:
                    live.append(_started(job, means, stop))
                else:
                    end(Outcome(job, "already done", done))
            for one in _with_news(live):
                news = one.receive()
                if isinstance(news, Outcome):
                    one.process.join()
                    live.remove(one)
                    end(news)
                else:
                    see(one.job, news)
    finally:
        for one in live:  # stopped at once: what each has saved is on disk
            one.process.terminate()
            one.process.join()
    return outcomes


def line_if_done(job: Job, means: Means) -> str | None:
    """The result line of a run with nothing left to do, None for one that has."""
    if not (job.folder / RECIPE).exists():
        return None
    record = read_record(job.folder)
    return str(record.result["line"]) if record.result and is_done(record, means.minutes) else None


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


class _Live(NamedTuple):
    """A job in a process of its own, and the end of a pipe on which it tells."""

    job: Job
    process: SpawnProcess
    pipe: Connection

    def receive(self) -> Row | Outcome:
        """The next news; where the process has gone without a word, that it has."""
        try:
            news: Row | Outcome = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            return Outcome(self.job, "failed", f"its process ended with exit code {self.process.exitcode}")
        return news


def _started(job: Job, means: Means, stop: Event) -> _Live:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, means, theirs, stop), name=job.name, daemon=True)
    with _interrupts_held():  # a process that starts inherits this: Ctrl-C in a terminal reaches the parent alone
        process.start()
    theirs.close()
    return _Live(job, process, mine)


def _with_news(live: Sequence[_Live]) -> list[_Live]:
    ready = wait([one.pipe for one in live], timeout=SECONDS_BETWEEN_LOOKS)
    return [one for one in live if one.pipe in ready]


def _work(job: Job, means: Means, pipe: Connection, stop: Event) -> None:
    """What a process does: the job, telling of it; it stops when told to, or when nobody is there to tell any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    told = -SECONDS_BETWEEN_ROWS

    def see(row: Row) -> None:
        nonlocal told
        now = time.monotonic()
        if row["kind"] == "validation" or now - told >= SECONDS_BETWEEN_ROWS:
            told = now
            tell(row)

    def tell(news: Row | Outcome) -> None:
        with suppress(OSError):  # the parent has gone: training ends with its next update
            pipe.send(news)

    def must_stop() -> bool:
        return stop.is_set() or (parent is not None and not parent.is_alive())

    try:
        tell(bring_to_end(job, means, Watch(see=see, must_stop=must_stop)))
    except (ValueError, OSError, ArithmeticError) as error:
        tell(Outcome(job, "failed", str(error)))
    except Exception as error:
        tell(Outcome(job, "failed", f"unexpected {type(error).__name__}: {error}"))
        raise


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
