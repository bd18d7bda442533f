"""The runs of a study as processes of this machine."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from typing import NamedTuple

from fewstep.autotune import available_threads
from fewstep.journal import Row
from fewstep.study import Job
from fewstep.study_runs import SECONDS_BETWEEN_LOOKS, Means, Outcome, outcome_of


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


class Processes:
    """An `Engine`: a process each."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._live: list[_Live] = []

    def room(self, threads: int) -> int:
        """As the processors that this process may use allow."""
        return max(1, available_threads() // max(threads, 1))

    def start(self, job: Job, means: Means) -> None:
        """Begin to bring the job to its end in a new process."""
        mine, theirs = self._context.Pipe(duplex=False)
        arguments = (job, means, theirs, self._stop)
        process = self._context.Process(target=_work, args=arguments, name=job.name, daemon=True)
        with _interrupts_held():  # a process that starts inherits this: Ctrl-C in a terminal reaches the parent alone
            process.start()
        theirs.close()
        self._live.append(_Live(job, process, mine))

    def listen(self) -> list[tuple[Job, Row | Outcome]]:
        """What came in, after a moment's wait, one thing from each process at most."""
        ready = wait([one.pipe for one in self._live], timeout=SECONDS_BETWEEN_LOOKS)
        news = [(one, one.receive()) for one in self._live if one.pipe in ready]
        for one, what in news:
            if isinstance(what, Outcome):
                one.process.join()
                self._live.remove(one)
        return [(one.job, what) for one, what in news]

    def stop(self) -> None:
        """Ask every process to save and to end."""
        self._stop.set()

    def end(self) -> None:
        """Stop all at once; what each has saved is on disk."""
        for one in self._live:
            one.process.terminate()
            one.process.join()


@contextmanager
def processes() -> Iterator[Processes]:
    """Processes, none of which is left afterwards."""
    engine = Processes()
    try:
        yield engine
    finally:
        engine.end()


def _work(job: Job, means: Means, pipe: Connection, stop: Event) -> None:
    """What a process does: the job, until told to stop, or until nobody is there to tell any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def tell(news: Row | Outcome) -> None:
        with suppress(OSError):  # the parent has gone: training ends with its next update
            pipe.send(news)

    def must_stop() -> bool:
        return stop.is_set() or (parent is not None and not parent.is_alive())

    tell(outcome_of(job, means, tell, must_stop))


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
