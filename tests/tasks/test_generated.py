from collections.abc import Callable

import numpy as np
import pytest
import torch

import fewstep


def line(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """y = a x + b at x = 0, 1, ..., 11."""
    a, b = rng.normal(size=2)
    x = np.arange(12.0)
    return x, a * x + b


def clouds(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of six points about centres of their own."""
    centres = rng.normal(size=(3, 1, 2)) * 10
    points = centres + rng.normal(size=(3, 6, 2))
    return torch.from_numpy(points).reshape(18, 2), torch.arange(3).repeat_interleave(6)


def test_every_task_is_one_call_and_support_and_queries_are_different_examples_of_it():
    task = fewstep.from_function(line).tasks(shots=4, queries=8).train.sample(0, "train", 0, 30)
    x, y = (torch.cat([getattr(part, name) for part in task], 1).double()[..., 0] for name in ("x", "y"))
    assert torch.equal(x.sort(-1).values, torch.arange(12.0, dtype=torch.float64).expand(30, -1))
    design = torch.stack([x, torch.ones_like(x)], -1)
    found = torch.linalg.lstsq(design, y[..., None]).solution
    torch.testing.assert_close((design @ found)[..., 0], y, rtol=0, atol=1e-4)
    assert len(found[:, 0, 0].unique()) == 30


def test_in_the_given_order_the_queries_follow_the_support():
    task = fewstep.from_function(line).tasks(shots=4, queries=3, order="given").train.sample(0, "train", 0, 60)
    x = torch.cat([task.support.x, task.query.x], 1)[..., 0]
    assert (x.diff() == 1).all()
    assert x[:, 0].unique().tolist() == [0, 1, 2, 3, 4, 5]


def test_tasks_are_functions_of_seed_stream_and_step_and_a_longer_list_begins_alike():
    splits = fewstep.from_function(line).tasks(shots=4, queries=4)
    first = splits.train.sample(0, "train", 3, 2).support.y
    assert torch.equal(splits.train.sample(0, "train", 3, 5).support.y[:2], first)
    for where in ((1, "train", 3), (0, "test", 3), (0, "train", 4)):
        assert not torch.equal(splits.test.sample(*where, 2).support.y, first)


def test_class_ids_make_a_classification_balanced_in_its_classes():
    splits = fewstep.from_function(clouds).tasks(ways=3, shots=2, queries=4)
    assert (splits.train.inputs, splits.train.outputs) == ((2,), 3)
    task = splits.train.sample(0, "train", 0, 10)
    assert task.support.y.tolist() == [[0, 0, 1, 1, 2, 2]] * 10
    centres = task.support.x.reshape(10, 3, 2, 2).mean(2)
    nearest = torch.cdist(task.query.x, centres).argmin(-1)
    assert (nearest == task.query.y).float().mean() > 0.9  # centres are ten standard deviations apart


def test_it_trains_at_once():
    splits = fewstep.from_function(line).tasks(shots=4, queries=4)
    run = fewstep.train(
        torch.nn.Linear(1, 1), fewstep.MAML(inner_lr=0.001), splits, updates=2, loss="mean_squared_error"
    )
    assert fewstep.evaluate(run, splits.test, count=4).metric == "mse"


def test_another_function_of_the_same_name_is_another_hash():
    def shifted(by: float) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
        return lambda rng: (np.arange(20.0), rng.normal(size=20) + by)

    first, again, other = (fewstep.from_function(shifted(by)).tasks().summary for by in (0, 0, 1))
    assert first == again
    assert (first["tasks"], first["hash"] == other["hash"]) == (other["tasks"], False)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda rng: rng.normal(size=20), r"returned a ndarray, expected a pair \(x, y\)"),
        (lambda rng: (np.zeros(20), np.zeros(19)), r"x of shape \[20\] and y of shape \[19\]"),
        (lambda rng: (np.zeros(8), np.zeros(8)), r"made 8 examples, a task needs 15 \(5 shots \+ 10 queries\)"),
        (lambda rng: (np.zeros(20), np.full(20, np.nan)), "values that are not finite"),
        (lambda rng: (np.zeros(20), np.arange(20) + 30), r"made 0 examples of a class, .* floating point"),
        (lambda rng: (x := np.random.default_rng().normal(size=20), x), "two tasks from the same random numbers"),
    ],
)
def test_what_a_function_does_wrong_is_told_before_training(make, said):
    with pytest.raises(ValueError, match=said):
        fewstep.from_function(make).tasks(shots=5, queries=10)


def test_a_function_whose_tasks_change_their_shape_is_an_error():
    calls = iter(range(100))

    def growing(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((20, 1 + next(calls) // 4)), np.zeros(20)

    tasks = fewstep.from_function(growing).tasks()
    with pytest.raises(ValueError, match=r"shape \[2\] and 1 outputs after one with \[1\] and 1"):
        tasks.train.sample(0, "train", 0, 9)


def test_ways_that_the_function_does_not_make_are_an_error():
    with pytest.raises(ValueError, match="ways=5, but the function makes 3 classes"):
        fewstep.from_function(clouds).tasks(ways=5, shots=1, queries=1)
    with pytest.raises(ValueError, match="ways=5, but the function makes values"):
        fewstep.from_function(line).tasks(ways=5, shots=1, queries=1)
