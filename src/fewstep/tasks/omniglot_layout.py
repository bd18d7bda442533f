"""What lies inside an Omniglot archive or folder: its files, listed safely, and the place of each drawing."""

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fewstep.tasks.download import html_title

URL = "https://github.com/brendenlake/omniglot/raw/master/python/"
DRAWINGS = 20  # of each character, one by each of twenty people
SIDE = 105  # pixels
_LARGEST_BYTES = 1 << 20  # a drawing takes 150 to 600 bytes
_JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")


class ArchiveError(ValueError):
    """Files that are not Omniglot as published; the message says what was found and what to do."""


class Part(NamedTuple):
    """One of the two halves in which Omniglot is published."""

    name: str
    classes: int
    md5: str  # of the official archive

    @property
    def stem(self) -> str:
        """The name of its folder, and of its archive less `.zip`."""
        return f"images_{self.name}"


PARTS = (
    Part("background", 964, "68d2efa1b9178cc56df9314c21c6e718"),
    Part("evaluation", 659, "6b91aef0f799c5bb55b94e3f2daec811"),
)


class Layout(NamedTuple):
    """The classes in their final order, and the place `(class, example)` of each path."""

    names: list[str]
    places: dict[str, tuple[int, int]]


def arrange(paths: Iterable[str], part: Part, source: Path) -> Layout:
    """Sort `paths` (those of folders end in `/`) into classes; refuse anything but the published layout."""
    paths = list(paths)
    _refuse_other_top(paths, part, source)
    drawings = _by_class(paths, part, source)
    _refuse_wrong_counts(drawings, part, source)
    names, places = [], {}
    for c, (alphabet, character) in enumerate(sorted(drawings)):
        names.append(f"{part.name}/{alphabet}/{character}")
        for m, path in enumerate(sorted(drawings[alphabet, character])):
            places[path] = (c, m)
    return Layout(names, places)


def replace_advice(part: Part, source: Path) -> str:
    """What to do about a `source` that is not what it should be."""
    return f"move {source} away and run again to download the official archive, or replace it by {URL}{part.stem}.zip"


def _refuse_other_top(paths: list[str], part: Part, source: Path) -> None:
    tops = sorted({path.split("/")[0] for path in paths})
    if tops == [part.stem]:
        return
    for other in PARTS:
        if tops == [other.stem]:
            raise ArchiveError(
                f"{source} holds {other.stem}/: it is Omniglot's {other.name} part under the name of the "
                f"{part.name} part; rename it to {other.stem}.zip"
            )
    found = ", ".join(tops[:5]) + (", ..." if len(tops) > 5 else "") if tops else "nothing"
    raise ArchiveError(f"{source} holds {found}, expected one folder {part.stem}/; {replace_advice(part, source)}")


def _by_class(paths: list[str], part: Part, source: Path) -> dict[tuple[str, str], list[str]]:
    """The paths of the drawings of each (alphabet, character); empty for a folder without drawings."""
    drawings: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        parts = path.rstrip("/").split("/")
        if path.endswith("/"):
            if len(parts) == 3:
                drawings.setdefault((parts[1], parts[2]), [])
        elif path.lower().endswith(".png"):
            if len(parts) != 4:
                raise ArchiveError(
                    f"{source}: {path!r} is not at ALPHABET/CHARACTER/IMAGE.png under {part.stem}/; "
                    f"{replace_advice(part, source)}"
                )
            drawings.setdefault((parts[1], parts[2]), []).append(path)
    return drawings


def _refuse_wrong_counts(drawings: dict[tuple[str, str], list[str]], part: Part, source: Path) -> None:
    if len(drawings) != part.classes:
        alike = [other.name for other in PARTS if len(drawings) == other.classes]
        hint = f", as many as Omniglot's {alike[0]} part (a renamed copy of it?)" if alike else ""
        wrong = f"{len(drawings)} classes{hint}, expected {part.classes}"
        raise ArchiveError(f"{source} has {wrong}; {replace_advice(part, source)}")
    uneven = [f"{a}/{c} has {len(p)} images" for (a, c), p in sorted(drawings.items()) if len(p) != DRAWINGS]
    if uneven:
        more = f" and {len(uneven) - 3} more classes are uneven" if len(uneven) > 3 else ""
        wrong = f"{', '.join(uneven[:3])}{more}, expected {DRAWINGS}"
        raise ArchiveError(f"{source}: {wrong}; {replace_advice(part, source)}")


class Member(NamedTuple):
    """One file or folder; `path` begins with `images_PART/` and ends in `/` for a folder."""

    path: str
    load: Callable[[], bytes]


@contextmanager
def open_members(source: Path, part: Part) -> Iterator[list[Member]]:
    """The members of the archive or folder `source` in the order in which they lie on the disk."""
    if source.is_dir():
        yield list(_folder_members(source, part))
        return
    with _open_zip(source, part) as archive:
        yield _zip_members(archive, source, part)


def _is_junk(path: str) -> bool:
    return any(name.startswith(".") or name in _JUNK for name in path.split("/"))


def _folder_members(source: Path, part: Part) -> Iterator[Member]:
    for place, folders, files in os.walk(source, followlinks=True):
        folders[:] = sorted(name for name in folders if not _is_junk(name))
        relative = Path(place).relative_to(source).parts
        prefix = "/".join((part.stem, *relative)) + "/"
        yield Member(prefix, bytes)
        for name in sorted(name for name in files if not _is_junk(name)):
            yield Member(prefix + name, partial(_load_file, Path(place, name), source))
        if len(relative) > 2:
            folders.clear()  # nothing belongs below a character: also ends a link that points at its parent


def _load_file(path: Path, source: Path) -> bytes:
    if path.stat().st_size > _LARGEST_BYTES:
        raise ArchiveError(_too_large(source, str(path.relative_to(source)), path.stat().st_size))
    return path.read_bytes()


@contextmanager
def _open_zip(source: Path, part: Part) -> Iterator[zipfile.ZipFile]:
    with source.open("rb") as file:
        head = file.read(4096)
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
            size = os.fstat(file.fileno()).st_size
            wrong = f"{source} {_what_instead_of_zip(head, size)}, expected a zip archive"
            raise ArchiveError(f"{wrong}; {replace_advice(part, source)}") from error
        with archive:
            yield archive


def _what_instead_of_zip(head: bytes, size: int) -> str:
    """What a file that is no zip is, judged by its first bytes."""
    if not head:
        return "is empty"
    if (title := html_title(head)) is not None:
        return f"is an HTML page ({title!r})"
    if head.startswith(b"PK\x03\x04"):
        return f"is truncated or damaged: it begins as a zip, but has no directory at its end ({size} bytes)"
    return f"is not a zip: it begins with {head[:16]!r} ({size} bytes)"


def _zip_members(archive: zipfile.ZipFile, source: Path, part: Part) -> list[Member]:
    seen: set[str] = set()
    members = []
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        path = info.filename.replace("\\", "/")
        _refuse_outside(info, path, source)
        if _is_junk(path):
            continue
        _refuse_suspect(info, path in seen, source)
        seen.add(path)
        members.append(Member(path, partial(_load_zipped, archive, info, source, part)))
    return members


def _refuse_outside(info: zipfile.ZipInfo, path: str, source: Path) -> None:
    """We never unpack; but an archive with such names is hostile or broken, and someone may unpack it."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path):
        wrong = f"member {info.filename!r} points outside the archive"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        wrong = f"member {info.filename!r} is a {'symbolic link' if kind == stat.S_IFLNK else 'special file'}"
    else:
        return
    raise ArchiveError(f"{source}: {wrong}, expected plain files under one folder; do not use this archive")


def _refuse_suspect(info: zipfile.ZipInfo, repeated: bool, source: Path) -> None:
    if info.file_size > _LARGEST_BYTES:
        raise ArchiveError(_too_large(source, info.filename, info.file_size))
    if repeated:
        wrong = "comes twice, expected once"
    elif info.flag_bits & 1:
        wrong = "is encrypted, expected none to be"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        wrong = f"has compression method {info.compress_type}, expected stored or deflated"
    else:
        return
    raise ArchiveError(f"{source}: member {info.filename!r} {wrong}; pack the archive anew")


def _too_large(source: Path, name: str, size: int) -> str:
    return (
        f"{source}: {name!r} has {size} bytes, expected a drawing of under 1 kB; "
        "it is something else, or a decompression bomb: do not use it"
    )


def _load_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: Path, part: Part) -> bytes:
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error) as error:
        wrong = f"member {info.filename!r} is damaged ({error}), expected it to unpack"
        raise ArchiveError(f"{source}: {wrong}; {replace_advice(part, source)}") from error
