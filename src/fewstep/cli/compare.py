"""`fewstep compare RUN RUN ...`: finished runs against each other, on the same test tasks."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fewstep.cli.options import DataRoot
from fewstep.comparison import compared
from fewstep.record import read_record
from fewstep.report import compare_page
from fewstep.report.document import as_text
from fewstep.tasks.cache import data_root


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Compare finished runs task by task: mean difference ± 95 % CI, p, and on how many tasks each is better.

    All must have been tested on the same tasks. Runs tested before the score of every task was kept are tested again.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN ...")]
    """run folders, two or more"""
    out: Path | None = None
    """folder for compare.html, compare.md and the figures; none are drawn without it"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, compare, print."""
    arguments = tyro.cli(CompareArguments, prog="fewstep compare", args=list(words))
    if len(arguments.runs) < 2:
        raise ValueError(f"compare needs two runs or more, got {len(arguments.runs)}")
    records = [read_record(folder) for folder in arguments.runs]
    pairs = compared(records, data_root(arguments.data_root))
    scores, differences = compare_page.tables(records, pairs)
    sys.stdout.write(f"{as_text(scores)}\n\n{as_text(differences)}\n")
    if arguments.out is not None:
        sys.stdout.write(f"report: {compare_page.write(records, pairs, arguments.out)}\n")
    return 0
