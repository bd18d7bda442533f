"""One process at a time in a run folder."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Hold `folder` while inside; the lock goes with the process, however that ends.

    Raises `ValueError` where another process holds it. Windows has no such locks: there nothing is held.
    """
    if folder is None or os.name != "posix":
        yield
        return
    fcntl = importlib.import_module("fcntl")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another process is training in {folder}; wait for it or stop it first") from error
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of `folder`, found without touching it; False where that cannot be told."""
    held = Path("/proc/locks")  # Linux
    if not held.exists():
        return False
    inode = str(folder.stat().st_ino)
    return any(inode in line.split()[5].split(":")[2:] for line in held.read_text().splitlines() if " FLOCK " in line)
