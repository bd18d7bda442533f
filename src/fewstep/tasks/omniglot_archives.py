"""Omniglot as published (two archives, or the folders in them): found, downloaded, verified and read."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from fewstep.tasks.cache import NamedClasses
from fewstep.tasks.download import DownloadError, download
from fewstep.tasks.omniglot_layout import (
    DRAWINGS,
    PARTS,
    SIDE,
    URL,
    ArchiveError,
    Layout,
    Member,
    Part,
    arrange,
    open_members,
    replace_advice,
)
from fewstep.tasks.opened_image import opened_image

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
_MODES = ("1", "L", "P", "RGB")  # those that convert to grey without guessing


class PartReport(NamedTuple):
    """What `verify` found of one part; `md5` is None but for an archive, `problem` None if all is well."""

    part: str
    source: str
    kind: str  # "zip", "folder" or "missing"
    classes: int
    images: int
    md5: str | None
    verdict: str
    problem: str | None


def read(folder: Path, size: int, resampling: str, parts: tuple[Part, ...] = PARTS) -> NamedClasses:
    """All drawings `[classes, 20, size, size]`, paper 255 and ink 0; background, then evaluation, sorted."""
    if resampling not in _FILTERS:
        raise ValueError(f"resampling={resampling!r}, expected one of {', '.join(_FILTERS)}; choose one of them")
    if size < 1:
        raise ValueError(f"size={size}, expected at least 1 pixel; the original drawings have {SIDE}")
    images = np.empty((sum(part.classes for part in parts), DRAWINGS, size, size), np.uint8)
    names: list[str] = []
    for part in parts:
        target = images[len(names) : len(names) + part.classes]
        names += _read_part(_source(folder, part), part, target, _FILTERS[resampling])
    return NamedClasses(images, names)


def is_here(folder: Path, parts: tuple[Part, ...] = PARTS) -> bool:
    """Whether nothing need be downloaded."""
    return all(_find(folder, part) is not None for part in parts)


def ensure(folder: Path, parts: tuple[Part, ...] = PARTS, url: str = URL) -> None:
    """Download each part of which neither the archive nor the folder is there."""
    for part in parts:
        if _find(folder, part) is not None:
            continue
        archive = folder / f"{part.stem}.zip"
        try:
            download(f"{url}{archive.name}", archive, part.md5)
        except DownloadError as error:
            elsewhere = f"set FEWSTEP_DATA or --data-root to the folder that holds {folder.name}/{archive.name}"
            raise DownloadError(f"{error}; or, if it is on this machine, {elsewhere}") from error


def fingerprint(folder: Path, parts: tuple[Part, ...] = PARTS) -> dict[str, object]:
    """What tells these local files from others without reading them: a key for a cache."""
    return {part.name: _identity(_source(folder, part)) for part in parts}


def verify(folder: Path, parts: tuple[Part, ...] = PARTS) -> list[PartReport]:
    """Decode every image of every part and say what is there; problems are reported, not raised."""
    return [_verify_part(folder, part) for part in parts]


def _find(folder: Path, part: Part) -> Path | None:
    """The archive, else the folder, else None."""
    archive = folder / f"{part.stem}.zip"
    if archive.is_file():
        return archive
    return folder / part.stem if (folder / part.stem).is_dir() else None


def _source(folder: Path, part: Part) -> Path:
    source = _find(folder, part)
    if source is None:
        raise ArchiveError(
            f"{folder} has neither {part.stem}.zip nor {part.stem}/, expected one of them; place "
            f"{URL}{part.stem}.zip there, or set FEWSTEP_DATA or --data-root to the parent of {folder.name}/"
        )
    return source


def _identity(source: Path) -> dict[str, object]:
    path = str(source.resolve())
    if source.is_dir():
        alphabets = sorted(place for place in source.iterdir() if place.is_dir())
        return {"path": path, "alphabets": {place.name: place.stat().st_mtime_ns for place in alphabets}}
    status = source.stat()
    return {"path": path, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _read_part(source: Path, part: Part, target: npt.NDArray[np.uint8], resampling: Image.Resampling) -> list[str]:
    """Fill `target: [C, 20, size, size]`; returns the names of the C classes."""
    size = target.shape[-1]
    with open_members(source, part) as members:
        layout = arrange((member.path for member in members), part, source)
        for path, drawing in _drawings(members, layout, part, source):
            target[layout.places[path]] = np.asarray(drawing.resize((size, size), resampling))
    return layout.names


def _drawings(members: list[Member], layout: Layout, part: Part, source: Path) -> Iterator[tuple[str, Image.Image]]:
    for member in members:
        if member.path in layout.places:
            yield member.path, _decode(member, part, source)


def _decode(member: Member, part: Part, source: Path) -> Image.Image:
    """A grey image: Pillow resamples 1-bit images by nearest, whatever filter it is asked for."""
    try:
        with opened_image(io.BytesIO(member.load()), ("PNG",)) as image:
            if image.size == (SIDE, SIDE) and image.mode in _MODES:
                grey: Image.Image = image.convert("L")
                return grey
            wrong = f"is {image.size[0]}x{image.size[1]} of mode {image.mode}"
    except ArchiveError:
        raise
    except ValueError as error:
        raise _bad_image(member, f"does not decode ({error})", part, source) from error
    raise _bad_image(member, wrong, part, source)


def _bad_image(member: Member, wrong: str, part: Part, source: Path) -> ArchiveError:
    expected = f"expected a {SIDE}x{SIDE} black-and-white PNG"
    return ArchiveError(f"{source}: {member.path!r} {wrong}, {expected}; {replace_advice(part, source)}")


def _verify_part(folder: Path, part: Part) -> PartReport:
    source = _find(folder, part)
    kind = "missing" if source is None else "folder" if source.is_dir() else "zip"
    classes = images = 0
    md5 = problem = None
    try:
        source = _source(folder, part)
        md5 = _md5(source) if kind == "zip" else None
        with open_members(source, part) as members:
            layout = arrange((member.path for member in members), part, source)
            classes = len(layout.names)
            for _ in _drawings(members, layout, part, source):
                images += 1
    except (ArchiveError, OSError) as error:
        problem = str(error)
    verdict = problem or _praise(kind, md5 == part.md5)
    return PartReport(part.name, str(source or folder), kind, classes, images, md5, verdict, problem)


def _praise(kind: str, official: bool) -> str:
    if kind == "folder":
        return "folder: contents verified"
    return "official archive" if official else "repacked archive: contents verified"


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
