"""Short trainings that differ in one thing: the inner rate, or whether quarter turns are further classes."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from right_store import Row, right_of_each, scores
from right_tested import MAPPING, Measurement, omniglot, upright

from fewstep import recipe as recipes
from fewstep.algorithms.maml import MAML
from fewstep.core import Meta
from fewstep.evaluation import Evaluation, Result, evaluate
from fewstep.learner import Learner
from fewstep.mapping import Mapping, Workers
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.cache import data_root
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training, outer_optimizer, updates

KEPT = Path(__file__).parent.parent / "build" / "right"
"""Where what was learned waits to be tested; not recorded."""
RATES = {"mean": 0.4, "sum": 2.0}
"""0.4 on the mean of the five losses of a support set, and on their sum, as a rate on the mean."""
SEEDS = (0, 1)
UPDATES = 600
TASKS = 600
CHECKPOINTS = range(UPDATES // 2 + 30, UPDATES + 1, 30)
STEPS = 3


def recipe(inner_lr: float) -> Recipe:
    """MAML as its official code trains 5-way 1-shot, narrower and shorter."""
    tasks = Omniglot(protocol="vinyals", ways=5, shots=1, queries=1)
    return Recipe(
        name="right",
        train_tasks=tasks,
        test_tasks=tasks,
        net=Conv4(filters=32, downsample="stride"),
        algorithm=MAML(inner_lr=inner_lr, inner_steps=1),
        training=Training(updates=UPDATES, meta_batch=8, lr=2e-3, schedule="cosine"),
        evaluation=Evaluation(tasks=TASKS, steps=STEPS),
    )


def loss() -> Iterator[Measurement]:
    """Each rate trained and tested, and each tested at the other's rate."""
    for seed in SEEDS:
        for trained_on in RATES:
            for tested_on in RATES:
                yield (
                    f"trained on {trained_on}, tested on {tested_on}, seed {seed}",
                    lambda a=trained_on, b=tested_on, s=seed: _of_rates(a, b, s),
                )


def turns() -> Iterator[Measurement]:
    """Trained on turned characters and on upright ones, each tested on both; one training each."""
    for seed in SEEDS[:1]:
        for trained_on in ("turned", "upright"):
            for tested_on in ("turned", "upright"):
                yield (
                    f"trained {trained_on}, tested {tested_on}, seed {seed}",
                    lambda a=trained_on, b=tested_on, s=seed: _of_turns(a == "upright", b == "upright", s),
                )


def selection() -> Iterator[Measurement]:
    """The checkpoints of the second half of one training, on the same test tasks."""

    def of_update(update: int) -> Row:
        result = score(learned(RATES["sum"], 0, is_upright=False, update=update))
        return {**scores(result), "right": right_of_each(result)}

    for update in CHECKPOINTS:
        yield f"update {update}", lambda u=update: of_update(u)


def score(learner: Learner, *, inner_lr: float | None = None, is_upright: bool = False) -> Result:
    """On the test tasks, at the rate trained with or another."""
    tasks = upright(omniglot()) if is_upright else omniglot()
    return evaluate(learner, tasks, Evaluation(tasks=TASKS, steps=STEPS, inner_lr=inner_lr), mapping=MAPPING)


def learned(inner_lr: float, seed: int, *, is_upright: bool, update: int = UPDATES) -> Learner:
    """The learner of a training after an update; trains where what it learned is not kept."""
    folder = KEPT / f"{inner_lr}-{'upright' if is_upright else 'turned'}-{seed}"
    asked = recipe(inner_lr)
    learner, splits = recipes.build(asked, data_root(), seed)
    if not (folder / f"{UPDATES}.pt").exists():
        folder.mkdir(parents=True, exist_ok=True)
        tasks, began = upright(splits.train) if is_upright else splits.train, time.process_time()
        with Workers(learner.model, Mapping(threads=1, chunk=4)) as workers:
            outer = outer_optimizer(learner.meta, asked.training)
            for progress in updates(learner, tasks, asked.training, outer, workers, seed=seed):
                if progress.update in CHECKPOINTS:
                    torch.save(learner.meta.learned, folder / f"{progress.update}.pt")
        (folder / "cpu_seconds").write_text(f"{time.process_time() - began:.1f}\n")
    meta = Meta(torch.load(folder / f"{update}.pt", weights_only=True), learner.meta.state)
    return Learner(model=learner.model, algorithm=learner.algorithm, meta=meta)


def _of_rates(trained_on: str, tested_on: str, seed: int) -> Row:
    learner = learned(RATES[trained_on], seed, is_upright=False)
    return _row(score(learner, inner_lr=RATES[tested_on]), seed, {"tested_at": RATES[tested_on]}, RATES[trained_on])


def _of_turns(was_upright: bool, is_upright: bool, seed: int) -> Row:
    learner = learned(RATES["sum"], seed, is_upright=was_upright)
    return _row(score(learner, is_upright=is_upright), seed, {}, RATES["sum"])


def _row(result: Result, seed: int, more: Row, inner_lr: float) -> Row:
    return {**scores(result), **more, "training_seed": seed, "inner_lr": inner_lr, "updates": UPDATES}
