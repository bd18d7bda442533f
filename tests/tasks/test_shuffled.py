from pathlib import Path

import numpy as np
import torch

from builders import image_splits
from fewstep import recipe as recipes
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.reptile import Reptile
from fewstep.core import Examples, Task
from fewstep.nets.mlp import MLP
from fewstep.recipe import AlgorithmSpec, Recipe
from fewstep.tasks.shuffled import Shuffled, shuffled
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tasks.splits import Splits

SPLITS = image_splits(shots=4)
TASKS = Shuffled(source=SPLITS.train)
"""Twelve support images a task, of three classes."""


class Numbered:
    """Support sets 0, 1, ..., 5, so that what comes out is the permutation itself."""

    inputs = (1,)
    outputs = 1
    class_names = ("number",)

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        y = torch.arange(6.0).expand(count, 6)
        return Task(Examples(y[..., None], y), Examples(y[..., None], y))


def orders(seed: int = 0, stream: str = "train", step: int = 0, count: int = 4) -> torch.Tensor:
    return Shuffled(source=Numbered()).sample(seed, stream, step, count).support.y


def in_order(examples: Examples) -> list[tuple[bytes, int]]:
    return sorted((x.numpy().tobytes(), y.item()) for x, y in zip(examples.x, examples.y, strict=True))


def test_every_support_set_holds_the_examples_of_its_source_each_with_its_label():
    plain, found = (tasks.sample(0, "train", 3, 5) for tasks in (SPLITS.train, TASKS))
    for i in range(5):
        assert in_order(found.select(i).support) == in_order(plain.select(i).support)
        assert not torch.equal(found.select(i).support.y, plain.select(i).support.y)


def test_the_queries_are_as_they_were():
    plain, found = (tasks.sample(0, "train", 3, 5) for tasks in (SPLITS.train, TASKS))
    assert torch.equal(found.query.x, plain.query.x)
    assert torch.equal(found.query.y, plain.query.y)


def test_every_task_has_an_order_of_its_own_that_seed_stream_and_step_decide():
    first = orders()
    assert torch.equal(first, orders())
    assert len({tuple(order) for order in first.tolist()}) == 4
    for other in (orders(seed=1), orders(stream="val"), orders(step=1)):
        assert not torch.equal(first, other)
    assert torch.equal(orders(count=2), first[:2])  # a shorter meta-batch begins the longer


def test_every_example_is_as_likely_to_come_first_as_any_other():
    """3000 tasks, 500 expected of each of six with standard deviation √(3000 · 5/36) = 20.4: within five of them."""
    counts = np.bincount(orders(count=3000)[:, 0].long(), minlength=6)
    assert abs(counts - 500).max() < 5 * 20.4


def test_it_offers_what_its_source_offers():
    assert (TASKS.inputs, TASKS.outputs, TASKS.class_names) == ((1, 5, 5), 3, SPLITS.train.class_names)
    kept = shuffled(SPLITS._replace(summary={"a": 1}, overlap="why"))
    assert (kept.summary, kept.overlap, kept.val.source, kept.test.source) == ({"a": 1}, "why", SPLITS.val, SPLITS.test)
    assert shuffled(Splits(SPLITS.train, None, SPLITS.test, {})).val is None


def splits_of(algorithm: AlgorithmSpec) -> Splits:
    tasks = Sinusoid(shots=4, queries=4)
    recipe = Recipe(
        name="sinusoid",
        train_tasks=tasks,
        test_tasks=tasks,
        net=MLP(hidden=(4,)),
        loss="mean_squared_error",
        algorithm=algorithm,
    )
    return recipes.build(recipe, Path("unused"), 0).splits


def test_a_recipe_shuffles_every_split_where_its_algorithm_reads_mini_batches_and_only_there():
    assert all(isinstance(tasks, Shuffled) for tasks in splits_of(Reptile(inner_batch=2))[:3])
    for algorithm in (Reptile(inner_batch=None), MAML(inner_lr=0.1)):
        assert not any(isinstance(tasks, Shuffled) for tasks in splits_of(algorithm)[:3])
