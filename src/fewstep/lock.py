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


def locks_held() -> frozenset[int] | None:
    """The inodes that processes of this machine hold such locks of, found without touching them.

    None where that cannot be told: only Linux tells.
    """
    held = Path("/proc/locks")
    if not held.exists():
        return None
    lines = (line.split() for line in held.read_text().splitlines() if " FLOCK " in line and " -> " not in line)
    return frozenset(int(words[5].split(":")[2]) for words in lines)
