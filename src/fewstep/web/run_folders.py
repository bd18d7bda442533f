"""The run folders that the playground shows: found below one folder, and nothing outside of it."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from fewstep.journal import METRICS
from fewstep.lock import is_locked
from fewstep.result_file import RESULT
from fewstep.run_folder import RECIPE
from fewstep.web.answers import NotThereError
from fewstep.web.run_log import RunLog

DEPTH = 4
"""Folders below the folder of runs; those of studies lie in studies/NAME/SYSTEM-sSEED."""
MOST = 500
"""Run folders that are listed."""
KEPT_LOGS = 100
FRESH = 30.0
"""Seconds for which a log that grew says that its run is training, where locks cannot be seen."""


class RunFolders:
    """The run folders below `root`, by their names: paths relative to it, with `/`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._logs: dict[Path, RunLog] = {}
        self._lock = threading.Lock()

    def by_name(self) -> dict[str, Path]:
        """All of them; links that lead out of the root are passed over."""
        if not self._root.is_dir():
            return {}
        return {path.relative_to(self._root).as_posix(): path for path in _found(self._root, self._root.resolve())}

    def path(self, name: str) -> Path:
        """The folder of a run.

        Raises `NotThereError` where `by_name` has none.
        """
        found = self.by_name().get(name)
        if found is None:
            raise NotThereError(f"there is no run '{name}' in {self._root}")
        return found

    def log(self, folder: Path) -> RunLog:
        """What the log of a run folder says by now; later reads add to it."""
        with self._lock:
            log = self._logs.pop(folder, None) or RunLog(folder)
            self._logs[folder] = log
            while len(self._logs) > KEPT_LOGS:
                self._logs.pop(next(iter(self._logs)))
            log.read()
            return log


def _found(root: Path, real: Path) -> Iterator[Path]:
    """Breadth first, so that what is cut off lies deepest."""
    level, count = [root], 0
    for _ in range(DEPTH):
        below = []
        for folder in level:
            for path in _folders(folder):
                if not path.resolve().is_relative_to(real):
                    continue
                if (path / RECIPE).is_file():
                    yield path
                    count += 1
                    if count == MOST:
                        return
                else:
                    below.append(path)
        level = below


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:  # unreadable, or gone since
        return []


def is_training(folder: Path) -> bool:
    """Whether a process trains in the folder now."""
    if is_locked(folder):
        return True
    log = folder / METRICS
    may_see_locks = Path("/proc/locks").exists()
    return not may_see_locks and log.exists() and time.time() - log.stat().st_mtime < FRESH


def version_of(folder: Path) -> str:
    """A tag that changes whenever the log or the result of a run does, or it starts or stops training."""
    parts = [str(is_training(folder))]
    for name in (RECIPE, METRICS, RESULT, "report.html"):
        path = folder / name
        parts.append(f"{path.stat().st_size}.{path.stat().st_mtime_ns}" if path.exists() else "-")
    return f'"{"-".join(parts)}"'
