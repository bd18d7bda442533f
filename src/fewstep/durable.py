"""Files that are on disk whole or not at all, whenever the power goes."""

import contextlib
import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, durably: written aside, synced, renamed.

    Raises `OSError` where that fails, as on a full disk; what was at `path` is then untouched.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}; what was there before is intact") from error
    _sync_folder(path.parent)


def replace_folder(path: Path, aside: Path) -> None:
    """Put the folder `aside`, a flat one on the same disk, at `path`, durably: synced, renamed.

    Raises `OSError` where `path` is there already, and has something in it.
    """
    for file in aside.iterdir():
        sync_file(file)
    _sync_folder(aside)
    aside.rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
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
