"""`fewstep evaluate RUN`: test a trained run again."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from fewstep import experiment
from fewstep.cli.options import DataRoot, Device, RunFolder
from fewstep.cli.progress import TestBar
from fewstep.evaluation import evaluate
from fewstep.experiment import Experiment
from fewstep.recipe import build
from fewstep.tasks.cache import data_root
from fewstep.tasks.splits import Splits
from fewstep.torchrun import join


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """Test a run on a seeded list of tasks: mean ± 95 % confidence interval, at every inner step.

    Defaults are the recipe's own.
    """

    run: RunFolder
    tasks: int | None = None
    """number of tasks"""
    steps: int | None = None
    """inner steps"""
    seed: int | None = None
    """seed of the task list"""
    ensemble: int | None = None
    """how many of the best checkpoints predict together, where the run kept several; 1: the best alone"""
    norm: Literal["transductive", "support"] | None = None
    """queries on the statistics of this policy instead of the one trained under"""
    split: Literal["train", "val", "test"] = "test"
    """which split's classes"""
    ways: int | None = None
    """classes a task; another number than in training where the algorithm makes the head"""
    shots: int | None = None
    """support examples a class"""
    queries: int | None = None
    """query examples a class"""
    json: bool = False
    """print everything as JSON"""
    device: Device = "cpu"
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, evaluate, print."""
    arguments = tyro.cli(EvaluateArguments, prog="fewstep evaluate", args=list(words))
    ranks, root = join(), data_root(arguments.data_root)
    loaded = experiment.load(arguments.run, data_root=root, device=arguments.device, ranks=ranks)
    learner = experiment.trained(loaded)
    tasks = getattr(_splits(loaded, arguments, root), arguments.split)
    if tasks is None:
        raise ValueError(f"the data of {arguments.run} have no '{arguments.split}' split; choose another")
    if arguments.norm is not None:
        task = tasks.sample(loaded.seed, "check", 0, 1).to(learner.device).select(0)
        learner = learner.under(arguments.norm).checked(task, tasks.outputs)
    changes = {
        name: value
        for name in ("tasks", "steps", "seed", "ensemble")
        if (value := getattr(arguments, name)) is not None
    }
    evaluation = dataclasses.replace(loaded.recipe.evaluation, **changes)
    others = experiment.ensemble(loaded)[: evaluation.ensemble - 1]
    test = partial(
        evaluate,
        *(learner, tasks, evaluation),
        mapping=loaded.mapping,
        stream=arguments.split,
        others=others,
        ranks=ranks,
    )
    if not ranks.is_first:
        test()
        return 0
    with TestBar() as bar:
        result = test(see=bar.see)
    if arguments.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2) + "\n")
        return 0
    sys.stdout.write(f"{result}\n")
    if result.transductive:
        sys.stdout.write(f"{result.per_query_line()}\n")
    for step, score in enumerate(result.at_step):
        sys.stdout.write(f"after {step} {'step' if step == 1 else 'steps'}: {result.value(score)}\n")
    return 0


def _splits(loaded: Experiment, arguments: EvaluateArguments, data_root: Path) -> Splits:
    """The run's tasks, the test's with the ways, shots and queries that are asked for.

    Raises `ValueError` for a field that these tasks do not have, and for ways that the run's head does not fit.
    """
    asked = {name: value for name in ("ways", "shots", "queries") if (value := getattr(arguments, name)) is not None}
    if not asked:
        return loaded.built.splits
    if arguments.split == "train":
        raise ValueError(f"--{next(iter(asked))} is of the tasks to test on, and --split train has those of training")
    tasks = loaded.recipe.test_tasks
    unknown = asked.keys() - {field.name for field in dataclasses.fields(tasks)}
    if unknown:
        raise ValueError(f"{type(tasks).__name__} tasks have no {', '.join(sorted(unknown))}; leave it out")
    recipe = dataclasses.replace(loaded.recipe, test_tasks=dataclasses.replace(tasks, **asked))
    return build(recipe, data_root, loaded.seed).splits
