"""What reaches an accuracy in the fewest CPU minutes: `python results/search_fast.py [--minutes 4] [NAME ...]`.

Every setting trains on one thread for as many updates as fit the budget, which a few timed updates decide (a cosine
has to know its end), and is scored on validation tasks of the `vinyals` protocol, so that no test task has a say.
One line a setting goes into `results/search-fast.jsonl`; the best of them is the recipe `omniglot-5w1s-fast`.
"""

import argparse
import dataclasses
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fewstep import recipe as recipes
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.evaluation import Evaluation, evaluate
from fewstep.inner.adagrad import Adagrad
from fewstep.mapping import Mapping, Workers
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training, outer_optimizer, updates

TABLE = Path(__file__).parent / "search-fast.jsonl"
TIMED = 12
"""Updates that are timed to find out how many fit; the first few are not counted."""
VALIDATION = Evaluation(tasks=1000, steps=5)


def setting(
    *,
    net: Conv4 | None = None,
    algorithm: MAML | MAMLPlusPlus | None = None,
    first_order_share: float = 0.0,
    queries: int = 1,
    **training: Any,
) -> tuple[Recipe, float]:
    """A recipe, and the share of the updates that it spends in first order."""
    tasks = Omniglot(protocol="vinyals", ways=5, shots=1, queries=1)
    outer = {"meta_batch": 16, "lr": 2e-3, "schedule": "cosine", **training}
    recipe = Recipe(
        name="search",
        train_tasks=dataclasses.replace(tasks, queries=queries),
        test_tasks=tasks,
        net=net or Conv4(downsample="stride_flatten"),
        algorithm=algorithm or MAML(inner_lr=0.4, inner_steps=1),
        training=Training(**outer),
    )
    return recipe, first_order_share


def together(*, filters: int, **training: Any) -> tuple[Recipe, float]:
    """What helped alone, at once."""
    net = Conv4(downsample="stride_flatten", filters=filters)
    return setting(net=net, algorithm=LEARNED, queries=3, **{"meta_batch": 8, "lr": 3e-3, **training})


SGD = MAML(inner_lr=0.4, inner_steps=1)
LEARNED = dataclasses.replace(SGD, learn_inner_lr=True)
SETTINGS = {
    "base": setting(),
    "constant": setting(schedule="constant", lr=1e-3),
    "lr 1e-3": setting(lr=1e-3),
    "lr 4e-3": setting(lr=4e-3),
    "mean": setting(net=Conv4(downsample="stride"), algorithm=MAML(inner_lr=2.0, inner_steps=1)),
    "pool": setting(net=Conv4(downsample="pool")),
    "32 filters": setting(net=Conv4(downsample="stride_flatten", filters=32)),
    "96 filters": setting(net=Conv4(downsample="stride_flatten", filters=96)),
    "batch 8": setting(meta_batch=8),
    "batch 32": setting(meta_batch=32),
    "3 queries": setting(queries=3),
    "learned": setting(algorithm=LEARNED),
    "first order": setting(algorithm=dataclasses.replace(SGD, order=1)),
    "annealed": setting(
        algorithm=MAMLPlusPlus(
            inner_lr=0.4, inner_steps=1, learn_inner_lr=True, multi_step_epochs=0, per_step_norm=False
        ),
        first_order_share=0.33,
    ),
    "2 steps": setting(algorithm=MAML(inner_lr=0.4, inner_steps=2, learn_inner_lr=True)),
    "adagrad": setting(algorithm=MAML(inner_lr=0.4, inner_steps=2, optimizer=Adagrad(eps_inside=0.7))),
    "alpha 1": setting(algorithm=dataclasses.replace(LEARNED, inner_lr=1.0)),
    "together, 32 filters": together(filters=32),
    "together, 48 filters": together(filters=48),
}


def search(name: str, minutes: float, data_root: Path) -> dict[str, Any]:
    """Train and score one setting; everything that is counted is CPU time of this process."""
    recipe, first_order_share = SETTINGS[name]
    torch.set_num_threads(1)
    mapping = Mapping(threads=1, chunk=4)
    per_update = timed(recipe, mapping, data_root)
    count = int(60 * minutes / per_update)
    training = dataclasses.replace(recipe.training, updates=count)
    algorithm = recipe.algorithm
    if isinstance(algorithm, MAMLPlusPlus):
        algorithm = dataclasses.replace(algorithm, epoch=1, first_order_epochs=int(first_order_share * count))
    recipe = dataclasses.replace(recipe, training=training, algorithm=algorithm)
    learner, splits = recipes.build(recipe, data_root, 0)
    began = time.process_time()
    with Workers(learner.model, mapping) as workers:
        outer = outer_optimizer(learner.meta, training)
        last = [step.score for step in updates(learner, splits.train, training, outer, workers, seed=0)][-count // 10 :]
    spent = (time.process_time() - began) / 60
    result = evaluate(learner, splits.val or splits.test, VALIDATION, mapping=mapping, stream="validation")
    return {
        "setting": name,
        "cpu_minutes": round(spent, 2),
        "updates": count,
        "tasks": count * training.meta_batch,
        "train": round(sum(last) / len(last), 4),
        "validation": [[round(100 * score.mean, 2), round(100 * score.ci95, 2)] for score in result.at_step],
        "recipe": recipes.to_json(recipe),
    }


def timed(recipe: Recipe, mapping: Mapping, data_root: Path) -> float:
    """CPU seconds of an update; a setting that is to be annealed is timed in its last order."""
    algorithm = recipe.algorithm
    if isinstance(algorithm, MAMLPlusPlus):
        recipe = dataclasses.replace(recipe, algorithm=dataclasses.replace(algorithm, first_order_epochs=0))
    learner, splits = recipes.build(recipe, data_root, 0)
    times = []
    with Workers(learner.model, mapping) as workers:
        outer = outer_optimizer(learner.meta, recipe.training)
        steps = updates(learner, splits.train, recipe.training, outer, workers, seed=1)
        for _ in range(TIMED):
            began = time.process_time()
            next(steps)
            times.append(time.process_time() - began)
    return sorted(times[3:])[len(times[3:]) // 2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", metavar="NAME", help="one of " + ", ".join(SETTINGS))
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--every", type=int, nargs=2, default=(0, 1), metavar=("FIRST", "STRIDE"))
    asked = parser.parse_args()
    for one in itertools.islice(asked.settings or SETTINGS, asked.every[0], None, asked.every[1]):
        row = search(one, asked.minutes, Path(os.environ["FEWSTEP_DATA"]))
        with TABLE.open("a") as table:
            table.write(json.dumps(row) + "\n")
        sys.stdout.write(
            f"{row['setting']}: {row['validation']} after {row['updates']} updates, {row['cpu_minutes']} min\n"
        )
        sys.stdout.flush()
