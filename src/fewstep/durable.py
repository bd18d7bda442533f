"""Files that are on disk whole or not at all, whenever the power goes."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

LEFTOVER = re.compile(r"\.(.+)\.\d+\.partial")
"""What a process that was killed in the middle of a write leaves beside the file, by the number of the process."""
SECONDS_OF_A_WRITE = 3600.0
"""More than any write takes: what nobody has touched for so long is a leftover, whoever wrote it."""
STREAMS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, durably: written aside, synced, renamed. A link's target is replaced, not the link.

    What is no file, as /dev/stdout or a pipe, is written to as it is. Raises `OSError` where that fails, as on a full
    disk; what was at `path` is then untouched.
    """
    is_stream = path.parent in STREAMS or (path.exists() and not path.is_file() and not path.is_dir())
    try:
        if is_stream:
            path.write_bytes(content)
        else:
            _replace(path.resolve() if path.is_symlink() else path, content)
    except OSError as error:
        intact = "" if is_stream else "; what was there before is intact"
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}{intact}") from error


def _replace(path: Path, content: bytes) -> None:
    aside = path_aside(path)
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_folder(path: Path, aside: Path) -> None:
    """Put the folder `aside`, a flat one on the same disk, at `path`, durably: synced, renamed.

    Raises `OSError` where `path` is there already, and has something in it.
    """
    for file in aside.iterdir():
        sync_file(file)
    sync_folder(aside)
    aside.rename(path)
    sync_folder(path.parent)


def path_aside(path: Path) -> Path:
    """Where this process writes what is to come to `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def discard_leftovers(folder: Path, name: str | None = None, *, idle_seconds: float = SECONDS_OF_A_WRITE) -> None:
    """Remove what killed processes left aside in `folder`, of the file `name` alone if given.

    Of other processes at work is what was touched within `idle_seconds`; 0 is for who knows that there is none. What
    cannot be removed stays.
    """
    for path in folder.glob(".*.partial"):
        found = LEFTOVER.fullmatch(path.name)
        with contextlib.suppress(OSError):
            if found and name in (None, found[1]) and time.time() - path.lstat().st_mtime >= idle_seconds:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, durably.

    Raises `OSError` where that fails.
    """
    try:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync_folder(made.parent)
    except OSError as error:
        raise OSError(error.errno, f"cannot make the folder {folder}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """See that the names in a folder are on disk."""
    if os.name == "posix":  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def append_line(path: Path, line: str) -> None:
    """Add a line to a log; raises `OSError` that names the file."""
    try:
        with path.open("a") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error


def sync_file(path: Path) -> None:
    """See that what was written to `path` is on disk, if it exists."""
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())
