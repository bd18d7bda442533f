"""What reaches an accuracy in the fewest CPU minutes: `python results/search_fast.py [--minutes 3] [NAME ...]`.

Every setting trains on one thread for as many updates as fit the budget, which a few timed updates decide (a cosine
has to know its end), and is scored on validation tasks of the `vinyals` protocol, so that no test task has a say.
One line a setting is added to `results/search-fast.jsonl`; the best of them is the recipe `omniglot-5w1s-fast`.
"""

import argparse
import dataclasses
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from fewstep import recipe as recipes
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.evaluation import Evaluation, evaluate
from fewstep.inner.adagrad import Adagrad
from fewstep.learner import Learner
from fewstep.mapping import Mapping, Workers
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.cache import data_root
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.splits import Splits
from fewstep.training import Progress, Training, outer_optimizer, updates

TABLE = Path(__file__).parent / "search-fast.jsonl"
TIMED = 12
"""Updates that are timed to find out how many fit; the first few are not counted."""
VALIDATION = Evaluation(tasks=1000, steps=5)
SGD = MAML(inner_lr=0.4, inner_steps=1)
LEARNED = dataclasses.replace(SGD, learn_inner_lr=True)
ANNEALED = MAMLPlusPlus(
    inner_lr=0.4, inner_steps=1, learn_inner_lr=True, multi_step_epochs=0, first_order_epochs=33, per_step_norm=False
)
"""The first third of a hundred epochs in first order."""


def setting(
    *,
    downsample: Literal["pool", "stride", "stride_flatten"] = "stride_flatten",
    filters: int = 64,
    algorithm: MAML | MAMLPlusPlus = SGD,
    queries: int = 1,
    **training: Any,
) -> Recipe:
    """The base and what differs from it."""
    tasks = Omniglot(protocol="vinyals", ways=5, shots=1, queries=1)
    return Recipe(
        name="search",
        train_tasks=dataclasses.replace(tasks, queries=queries),
        test_tasks=tasks,
        net=Conv4(downsample=downsample, filters=filters),
        algorithm=algorithm,
        training=Training(**{"meta_batch": 16, "lr": 2e-3, "schedule": "cosine", **training}),
    )


def together(filters: int) -> Recipe:
    """What did better than the base alone, at once, and rates in between."""
    return setting(filters=filters, algorithm=LEARNED, queries=3, meta_batch=8, lr=3e-3)


SETTINGS = {
    "base": setting(),
    "constant 1e-3": setting(schedule="constant", lr=1e-3),
    "lr 4e-3": setting(lr=4e-3),
    "mean over positions": setting(downsample="stride", algorithm=MAML(inner_lr=2.0, inner_steps=1)),
    "pool": setting(downsample="pool"),
    "32 filters": setting(filters=32),
    "8 tasks": setting(meta_batch=8),
    "32 tasks": setting(meta_batch=32),
    "3 queries a class": setting(queries=3),
    "learned rates": setting(algorithm=LEARNED),
    "learned rates from 1": setting(algorithm=dataclasses.replace(LEARNED, inner_lr=1.0)),
    "first order": setting(algorithm=dataclasses.replace(SGD, order=1)),
    "annealed order": setting(algorithm=ANNEALED),
    "2 steps": setting(algorithm=dataclasses.replace(LEARNED, inner_steps=2)),
    "2 steps of Adagrad": setting(algorithm=MAML(inner_lr=0.4, inner_steps=2, optimizer=Adagrad(eps_inside=0.7))),
    "together, 32 filters": together(32),
    "together, 48 filters": together(48),
}
"""The base: strided convolutions of 64 filters, 16 tasks an update, one query a class, one second-order step at 0.4,
cosine from 2e-3."""


def search(name: str, minutes: float, root: Path) -> dict[str, Any]:
    """Train and score one setting; everything that is counted is CPU time of this process."""
    recipe, mapping = SETTINGS[name], Mapping(threads=1, chunk=4)
    torch.set_num_threads(1)
    count = int(60 * minutes / seconds_per_update(recipe, mapping, root))
    training, algorithm = dataclasses.replace(recipe.training, updates=count), recipe.algorithm
    if isinstance(algorithm, MAMLPlusPlus):
        algorithm = dataclasses.replace(algorithm, epoch=count // 100)
    recipe = dataclasses.replace(recipe, training=training, algorithm=algorithm)
    learner, splits = recipes.build(recipe, root, 0)
    began = time.process_time()
    for _ in trained(learner, splits, training, mapping, seed=0):
        pass
    spent = (time.process_time() - began) / 60
    assert splits.val is not None
    result = evaluate(learner, splits.val, VALIDATION, mapping=mapping, stream="validation")
    return {
        "setting": name,
        "cpu_minutes": round(spent, 2),
        "updates": count,
        "tasks": count * training.meta_batch,
        "validation": [[round(100 * score.mean, 2), round(100 * score.ci95, 2)] for score in result.at_step],
        "recipe": recipes.to_json(recipe),
    }


def seconds_per_update(recipe: Recipe, mapping: Mapping, root: Path) -> float:
    """CPU seconds of an update, the median of a few; an annealed setting is timed in its last order."""
    if isinstance(recipe.algorithm, MAMLPlusPlus):
        recipe = dataclasses.replace(recipe, algorithm=dataclasses.replace(recipe.algorithm, first_order_epochs=0))
    learner, splits = recipes.build(recipe, root, 0)
    times = [time.process_time()]
    for _ in itertools.islice(trained(learner, splits, recipe.training, mapping, seed=1), TIMED):
        times.append(time.process_time())
    return statistics.median(after - before for before, after in itertools.pairwise(times[3:]))


def trained(learner: Learner, splits: Splits, training: Training, mapping: Mapping, *, seed: int) -> Iterator[Progress]:
    """Train in place."""
    with Workers(learner.model, mapping) as workers:
        outer = outer_optimizer(learner.meta, training)
        yield from updates(learner, splits.train, training, outer, workers, seed=seed)


def line(row: dict[str, Any]) -> str:
    """A row as a line of a Markdown table; the score is the one after the last inner step."""
    mean, ci95 = row["validation"][-1]
    return f"| {row['setting']} | {row['tasks']} | {row['cpu_minutes']:.2f} | {mean:.2f} ± {ci95:.2f} % |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", metavar="NAME", help="one of " + ", ".join(SETTINGS))
    parser.add_argument("--minutes", type=float, default=3.0)
    asked = parser.parse_args()
    for one in asked.settings or SETTINGS:
        found = search(one, asked.minutes, data_root())
        with TABLE.open("a") as table:
            table.write(json.dumps(found) + "\n")
        sys.stdout.write(f"{line(found)}\n")
        sys.stdout.flush()
