"""What training says while it runs: a live line on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fewstep.journal import Row

SECONDS_BETWEEN_LINES = 10.0
SMOOTHING = 0.95


class Reporter:
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

    def __enter__(self) -> "Reporter":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

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
