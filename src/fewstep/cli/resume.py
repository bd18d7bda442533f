"""`fewstep resume RUN`: continue where the newest checkpoint left off."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from fewstep import experiment
from fewstep.cli.options import DataRoot, RunFolder
from fewstep.cli.session import begin, board_of, run_to_report
from fewstep.tasks.cache import data_root
from fewstep.torchrun import join


@dataclass(frozen=True, kw_only=True)
class ResumeArguments:
    """Continue a stopped run to the bit-identical result, then test it and write its report."""

    run: RunFolder
    minutes: float | None = None
    """stop again after so many minutes of training"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, resume, report."""
    arguments = tyro.cli(ResumeArguments, prog="fewstep resume", args=list(words))
    ranks = join()
    board = board_of(arguments.run, ranks)
    loaded = experiment.load(arguments.run, data_root=data_root(arguments.data_root), ranks=ranks)
    begin(loaded.recipe, loaded.ranks)
    return run_to_report(loaded, minutes=arguments.minutes, board=board)
