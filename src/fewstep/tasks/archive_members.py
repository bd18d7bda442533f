"""The files of a folder, of a zip or of a tar archive, to be read where they lie: nothing is ever unpacked."""

import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import IO, NamedTuple, cast

from fewstep.tasks.download import html_title

_JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")
DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    LZMAError,
)
"""What reading a damaged archive raises."""


MOST_PER_BYTE, ROOM_BYTES, MOST_FILES = 100, 1 << 30, 1 << 22
"""What a tar may unpack to, by its own size and beside that: pictures hardly shrink, arrays of them a few times."""
MOST_HEADER_BYTES = 1 << 20
_MORE_HEADER = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


class _Header(tarfile.TarInfo):
    """The header of a tar's member, which may say that so many bytes of headers follow: they are read at once."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size > MOST_HEADER_BYTES and self.type in _MORE_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        made: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # meant for subclasses, says tarfile
        return made


class Member(NamedTuple):
    """One file, `path` below `source` with forward slashes, of `size` bytes unpacked."""

    source: Path
    path: str
    size: int
    open: Callable[[], IO[bytes]]

    def __str__(self) -> str:
        return f"{self.source / self.path}" if self.source.is_dir() else f"{self.source}: {self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def read(self, most: int) -> bytes:
        """Its content. Raises `ValueError` where it is damaged, or larger than `most` bytes."""
        self.check(most)
        with self.stream() as file:
            return file.read()

    def check(self, most: int) -> None:
        """Raise `ValueError` where it is larger than `most` bytes."""
        if self.size > most:
            raise ValueError(
                f"{self} has {self.size} bytes, expected {most} or fewer; it is something else, or a decompression "
                f"bomb: do not use it"
            )

    @contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        """The file, open. Raises `ValueError` where reading it finds it damaged."""
        try:
            with self.open() as file:
                yield file
        except DAMAGE as error:
            raise ValueError(f"{self} is damaged ({error}); download {self.source} again") from error


@contextmanager
def opened(source: Path) -> Iterator[list[Member]]:
    """The files in `source`, in the order in which they lie there; those of an archive can be read while it is open.

    Raises `ValueError` for what is no folder, zip or tar archive, for a damaged one, and for one with paths that lead
    out of it, links, devices or encrypted files.
    """
    with ExitStack() as archives:
        yield _members(source, archives)


def _members(source: Path, archives: ExitStack) -> list[Member]:
    if source.is_dir():
        return list(_of_folder(source))
    if not source.is_file():
        raise ValueError(f"{source} does not exist, expected a folder or an archive")
    try:
        if zipfile.is_zipfile(source):
            return list(_of_zip(archives.enter_context(zipfile.ZipFile(source)), source))
        if (tar := _as_tar(source)) is not None:
            return list(_of_tar(archives.enter_context(tar), source))
    except DAMAGE as error:
        raise ValueError(f"{source} is truncated or damaged ({error}); download it again") from error
    raise ValueError(f"{source} {_what_instead(source)}, expected a folder, or a zip or tar archive; download it again")


def _as_tar(source: Path) -> tarfile.TarFile | None:
    """The tar, its first header read; None where that is none, or is cut short."""
    try:
        return tarfile.open(source, tarinfo=_Header)
    except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError):
        return None


def _what_instead(source: Path) -> str:
    with source.open("rb") as file:
        head = file.read(4096)
    if not head:
        return "is empty"
    if (title := html_title(head)) is not None:
        return f"is an HTML page ({title!r})"
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        return "is a truncated or damaged archive"
    return f"is no archive: it begins with {head[:16]!r}"


def _of_folder(source: Path) -> Iterator[Member]:
    for place, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if not _is_junk(name))
        for name in sorted(name for name in files if not _is_junk(name)):
            path = Path(place, name)
            yield Member(source, path.relative_to(source).as_posix(), path.stat().st_size, partial(_open, path))


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _of_zip(archive: zipfile.ZipFile, source: Path) -> Iterator[Member]:
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        path = info.filename.replace("\\", "/")
        kind = stat.S_IFMT(info.external_attr >> 16)
        _refuse(source, path, is_special=kind not in (0, stat.S_IFREG, stat.S_IFDIR))
        if path.endswith("/") or _is_junk(path):
            continue
        if info.flag_bits & 1:
            raise ValueError(f"{source}: {path} is encrypted, expected none to be; pack the archive anew")
        yield Member(source, path, info.file_size, partial(archive.open, info))


def _of_tar(archive: tarfile.TarFile, source: Path) -> Iterator[Member]:
    most, unpacked = MOST_PER_BYTE * source.stat().st_size + ROOM_BYTES, 0
    for number, info in enumerate(archive):
        path = info.name.removeprefix("./")
        _refuse(source, path, is_special=info.issparse() or not (info.isfile() or info.isdir()))
        unpacked += info.size
        if unpacked > most or number > MOST_FILES:
            raise ValueError(
                f"{source} unpacks to {unpacked} bytes or more in {number + 1} files, expected {most} in "
                f"{MOST_FILES} or fewer; it is something else, or a decompression bomb: do not use it"
            )
        if info.isfile() and not _is_junk(path):
            yield Member(source, path, info.size, cast(Callable[[], IO[bytes]], partial(archive.extractfile, info)))


def _refuse(source: Path, path: str, *, is_special: bool) -> None:
    """We unpack nothing; but an archive with such names is hostile or broken, and someone may unpack it."""
    if path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path):
        raise ValueError(f"{source}: {path!r} leads out of the archive; do not use this archive")
    if is_special:
        raise ValueError(f"{source}: {path!r} is a link or a device, expected plain files; do not use this archive")


def _is_junk(path: str) -> bool:
    return any(name.startswith(".") or name in _JUNK for name in path.split("/"))
