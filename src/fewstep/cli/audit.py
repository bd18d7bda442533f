"""`fewstep audit RUN`: measure what a run's learner really does."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from fewstep import experiment
from fewstep.auditing import audit
from fewstep.cli.options import DataRoot, RunFolder
from fewstep.journal import newest_update
from fewstep.tasks.cache import data_root


@dataclass(frozen=True, kw_only=True)
class AuditArguments:
    """Measure, in float64 on a few tasks, the derivative order, missing gradients, transduction and leaks.

    Exit code 1 when something leaks or the gradient is not what it claims to be.
    """

    run: RunFolder
    seed: int = 0
    """seed of the tasks and directions measured on"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, audit, print."""
    arguments = tyro.cli(AuditArguments, prog="fewstep audit", args=list(words))
    loaded = experiment.load(arguments.run, data_root=data_root(arguments.data_root), device="cpu")
    learner = experiment.trained(loaded) if newest_update(arguments.run) else loaded.built.learner
    card = audit(learner, loaded.built.splits, seed=arguments.seed)
    sys.stdout.write(f"{card}\n")
    return 0 if card.passed else 1
