"""What training and testing say while they run: a live line on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from fewstep.journal import Row

SECONDS_BETWEEN_LINES = 10.0
SMOOTHING = 0.95

Shown = TypeVar("Shown", bound="_Display")


class _Display:
    """Something live, shown while its `with` block runs."""

    _live: Progress

    def __enter__(self: Shown) -> Shown:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


class Reporter(_Display):
    """Shows rows of `metrics.jsonl` as they come. Use as a context manager."""

    def __init__(self, updates: int, first: int, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self._updates, self._first = updates, first
        self._began = self._last_line = time.monotonic()
        self._smooth: dict[str, float] = {}
        self._live = Progress(
            TextColumn("update {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._live.add_task("", total=updates, completed=first)

    def see(self, row: Row) -> None:
        """Take one row."""
        if row["kind"] == "validation":
            found = "not finite" if row["score"] is None else f"{row['score']:.4f} ± {row['ci95']:.4f}"
            self.console.print(f"update {row['update']}: validation {found}")
            return
        for name in row.keys() & {"loss", "accuracy", "tasks_per_second"}:
            before = self._smooth.setdefault(name, row[name])
            self._smooth[name] = SMOOTHING * before + (1 - SMOOTHING) * row[name]
        self._live.update(self._task, completed=row["update"], description=self._summary())
        now = time.monotonic()
        if not self.console.is_terminal and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.console.print(f"update {row['update']}/{self._updates}  {self._summary()}  {self._left(row, now)}")

    def _summary(self) -> str:
        accuracy = f"  accuracy {self._smooth['accuracy']:.3f}" if "accuracy" in self._smooth else ""
        return f"loss {self._smooth['loss']:.3f}{accuracy}  {self._smooth['tasks_per_second']:.0f} tasks/s"

    def _left(self, row: Row, now: float) -> str:
        seconds = (now - self._began) / max(row["update"] - self._first, 1) * (self._updates - row["update"])
        minutes, rest = divmod(int(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02} left"


class TestBar(_Display):
    """The blocks of a test as they are done, `testing ━━━ 10/10 [00:09<00:00, 1.1it/s]`. Use as a context manager."""

    __test__ = False  # pytest takes classes of this name for tests

    def __init__(self, console: Console | None = None) -> None:
        self._live = Progress(
            TextColumn("testing"),
            BarColumn(),
            Rate(),
            console=console or Console(file=sys.stderr),
            redirect_stdout=False,
        )
        self._task = self._live.add_task("", total=None)

    def see(self, done: int, blocks: int) -> None:
        """So many blocks of so many are done."""
        self._live.update(self._task, completed=done, total=blocks)


class Rate(ProgressColumn):
    """How far, how long and how fast, as tqdm words it."""

    def render(self, task: Task) -> Text:
        """`10/10 [00:09<00:00, 1.1it/s]`; seconds an iteration where there is less than one a second."""
        seconds = task.finished_time if task.finished_time is not None else task.elapsed or 0.0
        if not task.completed or task.total is None:
            return Text(f"0/{task.total or '?'} [{_clock(seconds)}<?, ?it/s]")
        each = max(seconds, 1e-9) / task.completed
        rate = f"{1 / each:.1f}it/s" if each <= 1 else f"{each:.1f}s/it"
        left = _clock(each * (task.total - task.completed))
        return Text(f"{task.completed:.0f}/{task.total:.0f} [{_clock(seconds)}<{left}, {rate}]")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes:02}:{rest:02}"
