"""Paired comparison: two learners on the same test tasks, so that what makes a task hard cancels."""

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewstep import experiment
from fewstep.evaluation import evaluate
from fewstep.recipe import to_json
from fewstep.record import Record


class Paired(NamedTuple):
    """The mean of `first − second` over tasks, its 95 % half width and two-sided p; on how many tasks each is better.

    The interval is 1.96 · std / √tasks and p = erfc(|z| / √2), z = mean / (std / √tasks): the normal approximation.
    """

    mean: float
    ci95: float
    p: float
    first_wins: int
    second_wins: int
    tasks: int


def paired(first: Sequence[float], second: Sequence[float], *, higher_is_better: bool = True) -> Paired:
    """Compare the scores of two learners, task by task."""
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"expected scores of the same 2 or more tasks, got {len(first)} and {len(second)}")
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    mean, error = float(difference.mean()), float(difference.std(ddof=1)) / math.sqrt(len(difference))
    p = math.erfc(abs(mean) / error / math.sqrt(2)) if error > 0 else float(mean == 0)
    above, below = int((difference > 0).sum()), int((difference < 0).sum())
    wins = (above, below) if higher_is_better else (below, above)
    return Paired(mean, 1.96 * error, p, *wins, len(difference))


class Pair(NamedTuple):
    """Two runs and their paired test."""

    first: Record
    second: Record
    outcome: Paired


def compared(records: Sequence[Record], data_root: Path) -> list[Pair]:
    """Every pair of runs, each run against those after it.

    Raises `ValueError` where two were tested on other tasks, or one was not tested.
    """
    for other in records[1:]:
        if reason := why_not_comparable(records[0], other):
            raise ValueError(f"these runs were not tested on the same tasks: {reason}")
    scores = [measured_scores(record, data_root) for record in records]
    higher = records[0].metric == "accuracy"
    return [
        Pair(records[i], records[j], paired(scores[i], scores[j], higher_is_better=higher))
        for i, j in itertools.combinations(range(len(records)), 2)
    ]


def why_not_comparable(first: Record, second: Record) -> str | None:
    """What differs between the test tasks of two runs, None where they are the same."""
    mine, theirs = _test_tasks(first), _test_tasks(second)
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            return f"{name} is {_told(mine.get(name))} in {first.folder}, {_told(theirs.get(name))} in {second.folder}"
    return None


def scores_by_task(record: Record) -> list[float] | None:
    """The score of every test task after the last step, as stored; None where the result is older than this field."""
    return None if record.result is None else record.result.get("per_task") or None


def measured_scores(record: Record, data_root: Path) -> list[float]:
    """The score of every test task, tested again where the run's result does not hold them.

    Raises `ValueError` for a run that was not tested, or whose test now has another outcome.
    """
    if record.result is None:
        raise ValueError(f"{record.folder} was not tested yet; `fewstep resume {record.folder}` goes on and tests it")
    stored = scores_by_task(record)
    if stored is not None:
        return stored
    loaded = experiment.load(record.folder, data_root=data_root)
    evaluation = loaded.recipe.evaluation
    again = evaluate(experiment.trained(loaded), loaded.built.splits.test, evaluation, mapping=loaded.mapping)
    before = record.result["at_step"][-1][0]
    if not math.isclose(again.score.mean, before, rel_tol=0.01, abs_tol=0.002):  # other machines round differently
        raise ValueError(
            f"{record.folder} scores {again.score.mean:.4f} now, its result.json says {before:.4f}: its checkpoint is "
            f"another one; `fewstep resume {record.folder}` tests it again"
        )
    return again.per_task


def _test_tasks(record: Record) -> dict[str, object]:
    """Everything that decides the list of test tasks."""
    fields = to_json(record.recipe.test_tasks)
    evaluation = record.recipe.evaluation
    return {
        **{f"test_tasks.{name}": value for name, value in fields.items()},
        "evaluation.tasks": evaluation.tasks,
        "evaluation.seed": evaluation.seed,
        "data.test.hash": record.header["data"]["test"].get("hash"),
    }


def _told(value: object) -> str:
    return json.dumps(value)
