"""A training session in the terminal: from wherever the run stands to its result and report."""

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from fewstep import experiment
from fewstep.cli.progress import Reporter, TestBar
from fewstep.experiment import Experiment
from fewstep.journal import Row, newest_update
from fewstep.ranks import Ranks
from fewstep.recipe import Recipe
from fewstep.report import page
from fewstep.report.reproduce import resume_command
from fewstep.run import Watch
from fewstep.tensorboard import TensorBoard, has_board

SECONDS_OF_ONE_CTRL_C = 0.5
"""Signals this close are one: `timeout` and others tell the process and then its group."""


def board_of(folder: Path, ranks: Ranks, *, is_asked_for: bool = False) -> TensorBoard | None:
    """What the first rank writes to TensorBoard with: where it is asked for, or was when the run began.

    Raises `ValueError` where the extra is not installed.
    """
    return TensorBoard(folder) if ranks.is_first and (is_asked_for or has_board(folder)) else None


def run_to_report(created: Experiment, *, minutes: float | None, board: TensorBoard | None) -> int:
    """Train, test, write the report, print the accuracy line and the path. 130 after Ctrl-C."""
    if not created.ranks.is_first:
        return _run_along(created, minutes=minutes)
    first, again = newest_update(created.folder), resume_command(created.folder, created.ranks.count)
    reporter = Reporter(created.recipe.training.updates, first)

    def see(row: Row) -> None:
        reporter.see(row)
        if board is not None:
            board(row)

    with reporter, board or contextlib.nullcontext(), interrupts() as interrupted:
        watch = Watch(see=see, must_stop=lambda: bool(interrupted), minutes=minutes)
        run = experiment.train(created, watch)
    if run.status == "interrupted":
        page.write(created, run.learner)
        sys.stderr.write(f"stopped after update {run.update}, saved; continue with `{again}`\n")
        return 130
    if run.status == "out of time":
        sys.stderr.write(f"out of time after update {run.update}; continue with `{again}`\n")
    try:
        with TestBar() as bar:
            result = experiment.finish(created, run, bar.see)
    except KeyboardInterrupt:
        sys.stderr.write(f"trained and saved, not tested; `{again}` tests it\n")
        return 130
    lines = [str(result)] + ([result.per_query_line()] if result.transductive else [])
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.write(f"report: {page.write(created, run.learner)}\n")
    return 0


def _run_along(created: Experiment, *, minutes: float | None) -> int:
    """What every rank but the first does: its share of the training and of the test, without a word."""
    with interrupts(say=lambda text: None) as interrupted:
        run = experiment.train(created, Watch(must_stop=lambda: bool(interrupted), minutes=minutes))
    if run.status == "interrupted":
        return 130
    try:
        experiment.finish(created, run)
    except KeyboardInterrupt:
        return 130
    return 0


def begin(recipe: Recipe, ranks: Ranks) -> None:
    """Say on the first rank what is about to run, and send what the library logs to the terminal, bare."""
    if not ranks.is_first:
        return
    sys.stderr.write(f"{recipe.name}: {recipe.about}\n")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("fewstep")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)


@contextmanager
def interrupts(
    what: str = "this update", say: Callable[[str], object] = lambda text: sys.stderr.write(text)
) -> Iterator[list[float]]:
    """Ctrl-C fills the list, once, so that what is at hand can end; a second one stops at once."""
    seen: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if seen and now - seen[0] < SECONDS_OF_ONE_CTRL_C:
            return
        if seen:
            raise KeyboardInterrupt
        seen.append(now)
        say(f"\nfinishing {what}; press Ctrl-C again to stop at once\n")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
