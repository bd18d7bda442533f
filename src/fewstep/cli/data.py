"""`fewstep data list|show|verify|import`: what data there are, under which protocols, and whether they are whole."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fewstep.cli.options import DataRoot
from fewstep.tasks import omniglot_archives, published
from fewstep.tasks.cache import cache_folder, data_root
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.protocols import ProtocolName
from fewstep.tasks.published import DATA_SETS, Published, PublishedName
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tasks.splits import Splits
from fewstep.tasks.strokes import Strokes

Name = Literal["strokes", "omniglot", "sinusoid"] | PublishedName
NAMES = (*get_args(get_args(Name)[0]), *DATA_SETS)


@dataclass(frozen=True, kw_only=True)
class DataArguments:
    """`list` says where data sets lie, `show` prints splits and their hashes, `verify` reads every file of one.

    `import` reads a published data set from the archive or folder PATH into the data root.
    """

    action: Annotated[Literal["list", "show", "verify", "import"], tyro.conf.Positional]
    name: Annotated[Name | None, tyro.conf.Positional] = None
    """a data set; all but `list` need it"""
    path: Annotated[Path | None, tyro.conf.Positional] = None
    """what to import: the archive or folder as downloaded"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse and print."""
    arguments = tyro.cli(DataArguments, prog="fewstep data", args=list(words))
    root = data_root(arguments.data_root)
    if arguments.action == "list":
        return _list(root)
    if arguments.name is None:
        raise ValueError(f"`fewstep data {arguments.action}` needs a data set: {', '.join(NAMES)}")
    if arguments.action == "import":
        return _import(arguments.name, arguments.path, root)
    if arguments.path is not None:
        raise ValueError(f"`fewstep data {arguments.action}` takes no PATH; the data root is --data-root")
    return (_show if arguments.action == "show" else _verify)(arguments.name, root)


def _list(root: Path) -> int:
    archives = sorted(path.name for path in (root / "omniglot").glob("images_*"))
    omniglot = ", ".join(archives) if archives else "not here yet: downloaded on first use"
    lines: dict[str, str] = {
        "strokes": f"embedded: drawn on first use, kept in {cache_folder()}",
        "sinusoid": "embedded: generated",
        "omniglot": f"{root / 'omniglot'}: {omniglot}",
        **{name: f"{root / name}: {_presence(name, root)}" for name in DATA_SETS},
    }
    sys.stdout.write("".join(f"{name:16}{text}\n" for name, text in lines.items()))
    return 0


def _presence(name: PublishedName, root: Path) -> str:
    if (root / name).is_dir():
        return "imported"
    return f"not here: `fewstep data import {name} PATH` reads {DATA_SETS[name].forms}"


def _show(name: Name, root: Path) -> int:
    if name in DATA_SETS:
        _print(Published(name=name).build(root))
    elif name == "omniglot":
        for protocol in get_args(ProtocolName):
            _print(Omniglot(protocol=protocol).build(root))
    else:
        _print(Strokes().build(root) if name == "strokes" else Sinusoid().build(root))
    return 0


def _print(splits: Splits) -> None:
    for key, value in splits.summary.items():
        sys.stdout.write(f"{key}: {value if isinstance(value, str) else json.dumps(value)}\n")
    sys.stdout.write(f"note: {splits.overlap}\n\n" if splits.overlap else "\n")


def _verify(name: Name, root: Path) -> int:
    if name == "omniglot":
        return _verify_omniglot(root)
    if name not in DATA_SETS:
        sys.stdout.write(f"{name} is generated: there are no files to verify\n")
        return 0
    reports = published.verify(name, root)
    for report in reports:
        verdict = "as imported, numbers as published" if report.problem is None else "changed"
        sys.stdout.write(f"{report.split}: {verdict} ({report.classes} classes, {report.images} images)\n")
    return _told(report.problem for report in reports)


def _verify_omniglot(root: Path) -> int:
    reports = omniglot_archives.verify(root / "omniglot")
    for report in reports:
        sys.stdout.write(
            f"{report.part}: {report.verdict} ({report.kind} {report.source}, {report.classes} classes, "
            f"{report.images} images, md5 {report.md5})\n"
        )
    return _told(report.problem for report in reports)


def _told(problems: Iterable[str | None]) -> int:
    """1, and every problem on stderr, where there is one."""
    found = [problem for problem in problems if problem is not None]
    sys.stderr.write("".join(f"fewstep: error: {problem}\n" for problem in found))
    return int(bool(found))


def _import(name: Name, path: Path | None, root: Path) -> int:
    if name not in DATA_SETS:
        raise ValueError(f"{name} needs no import; those that do are {', '.join(DATA_SETS)}")
    if path is None:
        needed = f"needs a PATH, to the folder or archive of {DATA_SETS[name].forms}"
        raise ValueError(f"`fewstep data import {name}` {needed}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{name}, images", total=sum(DATA_SETS[name].images))
        folder = published.import_files(name, path, root, lambda images: progress.advance(bar, images))
    sys.stdout.write(f"{name} is in {folder}\n\n")
    return _show(name, root)
