"""`fewstep pack RUN --out FILE`: a run's learner as one small file, which `adapt` takes in the place of the run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from fewstep.cli.options import DataRoot, RunFolder
from fewstep.learner_file import write_learner
from fewstep.measured import accuracy_of
from fewstep.tasks.cache import data_root
from fewstep.trained import pack


@dataclass(frozen=True, kw_only=True)
class PackArguments:
    """Write what a run has learned into one small file: recipe, learned tensors and accuracy, no data.

    `fewstep adapt FILE` works with it anywhere. The accuracy is that of models adapted from it.
    """

    run: RunFolder
    out: Path
    """the file to write, as birds.fewstep-learner"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, measure, write."""
    arguments = tyro.cli(PackArguments, prog="fewstep pack", args=list(words))
    accuracy = accuracy_of(arguments.run, data_root(arguments.data_root), say=sys.stderr.write)
    packed = pack(arguments.run, accuracy.line)
    write_learner(arguments.out, packed)
    measured = accuracy.line or f"not measured: {accuracy.why_not}"
    sys.stdout.write(f"{packed.recipe.name}, as `adapt` uses it: {measured}\nwritten: {arguments.out}\n")
    return 0
