"""The run folders that the playground shows: found below one folder, and nothing outside of it."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG

from fewstep.journal import METRICS
from fewstep.result_file import RESULT
from fewstep.run_folder import RECIPE
from fewstep.web.answers import NotThereError
from fewstep.web.run_log import RunLog

DEPTH = 4
"""Folders below the folder of runs; those of studies lie in studies/NAME/SYSTEM-sSEED."""
MOST = 500
"""Run folders that are listed."""
KEPT_LOGS = 20
FRESH = 30.0
"""Seconds for which a log that grew says that its run is training, where locks cannot be seen."""
SERVED = ("report.html", "tasks.png", "adaptation.png")
"""What is served of a run folder, as it is."""
READ = (RECIPE, METRICS, RESULT)


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
    """Breadth first, so that what is cut off lies deepest; every folder once, whatever links lead to it."""
    level, seen, count = [root], {real}, 0
    for _ in range(DEPTH):
        below = []
        for path in (path for folder in level for path in _folders(folder)):
            where = path.resolve()
            if where in seen or not where.is_relative_to(real):
                continue
            seen.add(where)
            if not (path / RECIPE).exists():
                below.append(path)
                continue
            yield path
            count += 1
            if count == MOST:
                return
        level = below


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry) for entry in entries if _is_folder(entry))
    except OSError:  # unreadable, or gone since
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Hidden ones do not count, nor those whose names are no text."""
    try:
        return not entry.name.startswith(".") and entry.name.isprintable() and entry.is_dir()
    except OSError:  # a link to itself
        return False


def check_files(folder: Path) -> None:
    """Raise `ValueError` where what would be read of a run folder is a pipe, a folder, or a link that leads out."""
    for name in READ:
        if os.path.lexists(folder / name) and not is_own(folder, name):
            raise ValueError(f"{folder / name} is no file of this folder itself; put a copy in its place")


def is_own(folder: Path, name: str) -> bool:
    """Whether that is a plain file that lies in the folder."""
    path = folder / name
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def is_training(folder: Path, held: frozenset[int] | None) -> bool:
    """Whether a process trains in the folder now, by what `locks_held` says."""
    try:
        if held is not None:
            return folder.stat().st_ino in held
        return time.time() - (folder / METRICS).stat().st_mtime < FRESH
    except OSError:  # gone since, or nothing logged yet
        return False


def version_of(folder: Path, *, training: bool) -> str:
    """What changes whenever a file of a run does, or it starts or stops training."""
    parts = [str(training)]
    for name in (*READ, *SERVED):
        try:
            found = (folder / name).stat()
        except OSError:
            parts.append("-")
        else:
            parts.append(f"{found.st_size}.{found.st_mtime_ns}" if S_ISREG(found.st_mode) else "?")
    return "-".join(parts)
