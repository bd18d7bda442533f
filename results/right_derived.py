"""What follows from the recorded scores of tasks: how a figure varies with its test, and what choosing on it adds."""

import json
import statistics
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from right_store import rows

HERE = Path(__file__).parent
QUERIES = 5
SIZES = (20, 100, 600, 1000)
"""Tasks of a test."""
CHOSEN_ON = (20, 100, 300)
"""Test tasks that a checkpoint is chosen on; at least as many are left."""
CHOICES = 2000
"""Sets of test tasks that a checkpoint is chosen on."""
Scores = npt.NDArray[np.float64]


class Varied(NamedTuple):
    """Tests of `tasks` tasks each, in percent; `covered` of their intervals hold the mean of all tasks."""

    tasks: int
    tests: int
    lowest: float
    highest: float
    std: float
    half_width: float
    covered: int
    without_width: int


class Chosen(NamedTuple):
    """The best of the checkpoints on `tasks` test tasks: its mean figure there and on all other tasks, in percent."""

    tasks: int
    there: float
    elsewhere: float


class Difference(NamedTuple):
    """Of two learners on the same tasks, in points, with its half width by pairs and as if the tasks were others."""

    mean: float
    paired: float
    unpaired: float


def in_percent(right: str) -> Scores:
    """The score of each task, from its number of right queries."""
    return 100 * np.array([int(digit) for digit in right]) / QUERIES


def all_tasks() -> Scores:
    """One checkpoint on every task list, one after another."""
    return np.concatenate([in_percent(row["right"]) for row in rows("noise").values()])


def tests_of(tasks: int) -> list[Scores]:
    """All tasks, in tests of so many that share none."""
    scores = all_tasks()
    return [scores[first : first + tasks] for first in range(0, len(scores) - tasks + 1, tasks)]


def half_width(scores: Scores) -> float:
    """Of the 95 % interval, 1.96 · std / √tasks."""
    return float(1.96 * scores.std(ddof=1) / len(scores) ** 0.5)


def varied(tasks: int) -> Varied:
    """How the figures of tests vary that differ in their tasks alone."""
    truth, tests = all_tasks().mean(), tests_of(tasks)
    means, widths = [float(one.mean()) for one in tests], [half_width(one) for one in tests]
    covered = sum(abs(mean - truth) <= width for mean, width in zip(means, widths, strict=True))
    without_width = sum(width == 0 for width in widths)
    spread, width = statistics.stdev(means), statistics.median(widths)
    return Varied(tasks, len(tests), min(means), max(means), spread, width, covered, without_width)


def chosen(tasks: int) -> Chosen:
    """Choose on random sets of tasks, and look at what is left."""
    scores = np.stack([in_percent(row["right"]) for row in rows("selection").values()])
    rng = np.random.default_rng(0)
    there, elsewhere = [], []
    for _ in range(CHOICES):
        order = rng.permutation(scores.shape[1])
        seen, left = scores[:, order[:tasks]].mean(1), scores[:, order[tasks:]].mean(1)
        best = int(seen.argmax())
        there.append(float(seen[best]))
        elsewhere.append(float(left[best]))
    return Chosen(tasks, statistics.mean(there), statistics.mean(elsewhere))


def difference(first: str, second: str) -> Difference:
    """Of two recorded runs that were tested on the same tasks."""
    a, b = (
        100 * np.array(json.loads((HERE / name / "result.json").read_text())["per_task"]) for name in (first, second)
    )
    return Difference(float((a - b).mean()), half_width(a - b), float(np.hypot(half_width(a), half_width(b))))
