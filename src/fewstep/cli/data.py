"""`fewstep data list|show|verify`: what data there are, under which protocols, and whether they are whole."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from fewstep.cli.options import DataRoot
from fewstep.tasks import omniglot_archives
from fewstep.tasks.cache import cache_folder, data_root
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.protocols import ProtocolName
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tasks.splits import Splits
from fewstep.tasks.strokes import Strokes

DataSet = Literal["strokes", "omniglot", "sinusoid"]


@dataclass(frozen=True, kw_only=True)
class DataArguments:
    """`list` says where data sets lie, `show` prints splits and their hashes, `verify` reads every file of one."""

    action: Annotated[Literal["list", "show", "verify"], tyro.conf.Positional]
    name: Annotated[DataSet | None, tyro.conf.Positional] = None
    """a data set; `show` and `verify` need it"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse and print."""
    arguments = tyro.cli(DataArguments, prog="fewstep data", args=list(words))
    root = data_root(arguments.data_root)
    if arguments.action == "list":
        return _list(root)
    if arguments.name is None:
        raise ValueError(f"`fewstep data {arguments.action}` needs a data set: {', '.join(get_args(DataSet))}")
    if arguments.action == "show":
        return _show(arguments.name, root)
    return _verify(arguments.name, root)


def _list(root: Path) -> int:
    archives = sorted(path.name for path in (root / "omniglot").glob("images_*"))
    omniglot = ", ".join(archives) if archives else "not here yet: downloaded on first use"
    sys.stdout.write(
        f"strokes   embedded: drawn on first use, kept in {cache_folder()}\n"
        f"sinusoid  embedded: generated\n"
        f"omniglot  {root / 'omniglot'}: {omniglot}\n"
    )
    return 0


def _show(name: DataSet, root: Path) -> int:
    if name == "omniglot":
        for protocol in get_args(ProtocolName):
            _print(Omniglot(protocol=protocol).build(root))
    else:
        _print(Strokes().build(root) if name == "strokes" else Sinusoid().build(root))
    return 0


def _print(splits: Splits) -> None:
    for key, value in splits.summary.items():
        sys.stdout.write(f"{key}: {value if isinstance(value, str) else json.dumps(value)}\n")
    sys.stdout.write(f"note: {splits.overlap}\n\n" if splits.overlap else "\n")


def _verify(name: DataSet, root: Path) -> int:
    if name != "omniglot":
        sys.stdout.write(f"{name} is generated: there are no files to verify\n")
        return 0
    reports = omniglot_archives.verify(root / "omniglot")
    for report in reports:
        sys.stdout.write(
            f"{report.part}: {report.verdict} ({report.kind} {report.source}, {report.classes} classes, "
            f"{report.images} images, md5 {report.md5})\n"
        )
        if report.problem is not None:
            sys.stderr.write(f"fewstep: error: {report.problem}\n")
    return int(any(report.problem is not None for report in reports))
