import numpy as np
import pytest
import torch

import fewstep
from fewstep.core import Task

CLASSES = 10


def labelled(each: int = 6, classes: int = CLASSES) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors (class, example), in an order that mixes the classes."""
    y = torch.arange(classes).repeat(each)
    return torch.stack([y.float(), torch.arange(len(y)).float()], 1), y


def grouped(groups: int = 10, each: int = 8) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Numbers x and values (x, group), in an order that mixes the groups."""
    task = torch.arange(groups).repeat(each)
    x = torch.arange(len(task)).float()
    return x, torch.stack([x, task.float()], 1), [f"shop {number}" for number in task.tolist()]


def support_classes(task: Task) -> set[int]:
    return set(task.support.x[..., 0].long().flatten().tolist())


def test_examples_keep_the_class_that_they_were_given():
    x, y = labelled()
    tasks = fewstep.from_tensors(x, y, held_out=(0.0, 0.3)).tasks(ways=3, shots=2, queries=2)
    task = tasks.train.sample(0, "train", 0, 50)
    assert task.support.x.shape == (50, 6, 2)
    by_class = task.support.x[..., 0].reshape(50, 3, 2)
    assert torch.equal(by_class[..., 0], by_class[..., 1])
    assert torch.equal(task.query.x[..., 0].reshape(50, 3, 2)[..., 0], by_class[..., 0])
    assert torch.equal(task.query.x[..., 1] % CLASSES, task.query.x[..., 0])  # as example n is of class n mod 10


def test_classes_are_divided_by_the_seed_into_the_shares_held_out():
    x, y = labelled()
    first, again, other = (fewstep.from_tensors(x, y, held_out=(0.2, 0.3), seed=seed) for seed in (0, 0, 1))
    assert [len(part) for part in (first.train, first.val, first.test)] == [5, 2, 3]
    assert {c.name for part in (first.train, first.val, first.test) for c in part} == {str(c) for c in range(CLASSES)}
    assert first.train == again.train != other.train
    splits = first.tasks(ways=2, shots=1, queries=1)
    for tasks, part in zip(splits[:3], (first.train, first.val, first.test), strict=True):
        assert support_classes(tasks.sample(0, "t", 0, 40)) == {int(c.name) for c in part}


def test_a_split_column_divides_the_classes_as_it_says():
    x, y = labelled()
    split = [("train", "val", "test")[min(label // 4, 2)] for label in y.tolist()]
    tasks = fewstep.from_tensors(x, y, split=split).tasks(ways=2, shots=1, queries=1)
    found = [support_classes(part.sample(0, "t", 0, 40)) for part in tasks[:3]]
    assert found == [{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}]


def test_a_class_with_examples_in_two_splits_is_an_error_with_both_counts():
    x, y = labelled()
    split = ["test" if label > 6 else "train" for label in y.tolist()]
    split[0] = "test"  # one of the six of class 0
    with pytest.raises(ValueError, match=r"class '0' is in train \(5\) and in test \(1\)"):
        fewstep.from_tensors(x, y, split=split).tasks(ways=3, shots=1, queries=1)


@pytest.mark.parametrize("names", [["ash", "elm", "oak", "fir"] * 3, np.array(["ash", "elm", "oak", "fir"] * 3)])
def test_classes_may_be_strings(names):
    data = fewstep.from_tensors(torch.randn(12, 4), names, held_out=(0.0, 0.5))
    assert sorted(c.name for c in [*data.train, *data.test]) == ["ash", "elm", "fir", "oak"]


def test_ids_are_called_as_names_say_and_a_class_too_small_by_that_name():
    y = np.array([0] * 8 + [1] * 8 + [2] * 4)
    names, split = ["ash", "elm", "oak"], ["train"] * 20
    data = fewstep.from_tensors(np.zeros((20, 3)), y, names=names, split=split)
    with pytest.raises(ValueError, match=r"class 'oak' .*has 4 examples, needs 6 \(1 shot \+ 5 queries\)"):
        data.tasks(ways=2, shots=1, queries=5)
    with pytest.raises(ValueError, match="y has 2, which is no place in the 2 names"):
        fewstep.from_tensors(np.zeros((20, 3)), y, names=names[:2])


@pytest.mark.parametrize(
    ("shape", "inputs"), [((12, 7, 6), (1, 7, 6)), ((12, 3, 7, 6), (3, 7, 6)), ((12, 7, 6, 3), (3, 7, 6))]
)
def test_bytes_of_images_become_floats_in_the_unit_interval(shape, inputs):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = fewstep.from_tensors(images, [0, 1, 2, 3] * 3, held_out=(0.0, 0.5))
    task = data.tasks(ways=2, shots=1, queries=2).train.sample(0, "t", 0, 9)
    assert task.support.x.shape == (9, 2, *inputs)
    planes = images if len(shape) == 4 else images[..., None]
    planes = np.moveaxis(planes, -1, 1) if planes.shape[-1] <= 3 else planes
    known = {(plane / np.float32(255)).tobytes() for plane in planes.astype(np.float32)}
    assert {x.numpy().tobytes() for x in task.query.x.flatten(0, 1)} <= known


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.float64, torch.float32),
        (torch.float16, torch.float32),
        (torch.int32, torch.int64),
        (torch.bool, torch.float32),
    ],
)
def test_values_are_float32_and_tokens_int64(given, kept):
    x = torch.ones(12, 5).to(given)
    tasks = fewstep.from_tensors(x, [0, 1, 2, 3] * 3, held_out=(0.0, 0.5)).tasks(ways=2, shots=1, queries=2)
    assert tasks.train.sample(0, "t", 0, 2).support.x.dtype == kept


def test_groups_are_the_tasks_of_a_regression():
    x, y, task = grouped()
    data = fewstep.from_tensors(x, y, task=task, held_out=(0.2, 0.3))
    splits = data.tasks(shots=3, queries=5)
    assert (splits.train.inputs, splits.train.outputs) == ((1,), 2)
    for tasks, groups in zip(splits[:3], (data.train, data.val, data.test), strict=True):
        drawn = tasks.sample(0, "t", 0, 60)
        values = torch.cat([drawn.support.y, drawn.query.y], 1)
        assert torch.equal(torch.cat([drawn.support.x, drawn.query.x], 1)[..., 0], values[..., 0])
        assert (values[..., 1] == values[:, :1, 1]).all()
        assert {f"shop {int(g)}" for g in values[:, 0, 1]} == {group.name for group in groups}
        assert all(len(one.unique()) == 8 for one in values[..., 0])  # 3 + 5 of 8: each once


def test_in_the_given_order_the_queries_follow_the_support():
    x, y, task = grouped(each=12)
    drawn = fewstep.from_tensors(x, y, task=task).tasks(shots=3, queries=4, order="given").train.sample(0, "t", 0, 80)
    run = torch.cat([drawn.support.x, drawn.query.x], 1)[..., 0]
    assert (run.diff() == 10).all()  # a group has every tenth number
    assert run[:, 0].div(10, rounding_mode="floor").unique().tolist() == [0, 1, 2, 3, 4, 5]  # of 12, runs of 7


def test_everything_wrong_with_groups_is_named_at_once():
    x, y, task = grouped(groups=3)
    task[0] = "shop 9"  # of one example
    x[5], y[7] = float("nan"), float("inf")
    data = fewstep.from_tensors(x, y, task=task, split=["train"] * len(x))
    with pytest.raises(ValueError, match="the data have 5 problems") as error:
        data.tasks(shots=3, queries=5)
    for said in (
        "x is not finite in 1 example, 5 for one",
        "y is not finite in 1 example, 7 for one",
        "split 'test' has no group",
        "group 'shop 0' of split 'train' has 7 examples, needs 8 (3 shots + 5 queries)",
        "group 'shop 9' of split 'train' has 1 example, needs 8",
    ):
        assert f"- {said}" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"y": [0, 1]}, "x has 4 examples, y has 2: expected as many of each"),
        ({"task": [0, 1, 2]}, "y has 4, task has 3"),
        ({"y": torch.rand(4)}, "y holds floating-point values, expected class ids .* task="),
        ({"y": torch.eye(4).long()}, r"y has more than one entry an example: expected \[N\]"),
        ({"split": ["train", "valid", "test", "test"]}, "split has 'valid': expected train, val, test"),
        ({"x": np.array([["a"]] * 4)}, "x is of <U1: expected numbers"),
        ({"task": [0, 0, 1, 1], "y": ["a", "b", "c", "d"]}, "y is of <U1: expected numbers"),
        ({"held_out": (0.5, 0.5)}, r"held_out=\(0.5, 0.5\): expected the shares"),
    ],
)
def test_what_cannot_be_examples_is_an_error(arguments, said):
    with pytest.raises(ValueError, match=said):
        fewstep.from_tensors(**{"x": torch.zeros(4, 2), "y": [0, 0, 1, 1], **arguments})


def test_other_examples_are_another_content_and_the_given_tensor_is_not_changed():
    x, y = labelled()
    before = x.clone()
    data = fewstep.from_tensors(x, y)
    splits = data.tasks(ways=2)
    splits.train.sample(0, "t", 0, 3).support.x.zero_()
    assert torch.equal(x, before)
    other = fewstep.from_tensors(x + 1, y).tasks(ways=2)
    assert splits.summary["hash"] == other.summary["hash"]
    assert splits.summary["content"] != other.summary["content"]
