from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

import fewstep


class Pictures(Dataset):
    """Even Pillow pictures of grey 20 · class + example, as torchvision's sets give them."""

    classes = ("ash", "elm", "oak", "fir")

    def __init__(self, each: int = 3, size: tuple[int, int] = (8, 6)) -> None:
        self.each, self.size = each, size

    def __len__(self) -> int:
        return 4 * self.each

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        label, example = divmod(i, self.each)
        return Image.new("L", self.size, 20 * label + example), label


def items(*found: Any) -> Any:
    """A list is a dataset of the map style, too."""
    return list(found)


def test_a_dataset_of_pictures_becomes_tasks_of_pixels_in_the_unit_interval():
    data = fewstep.from_dataset(Pictures(), held_out=(0.0, 0.5))
    assert sorted(c.name for c in [*data.train, *data.test]) == ["ash", "elm", "fir", "oak"]
    task = data.tasks(ways=2, shots=1, queries=2).train.sample(0, "t", 0, 20)
    assert task.support.x.shape == (20, 2, 1, 6, 8)
    labels = (255 * task.support.x[:, :, 0, 0, 0]).round() // 20
    assert {Pictures.classes[int(label)] for label in labels.unique()} == {c.name for c in data.train}


def test_a_tensor_dataset_is_read_as_it_is():
    x, y = torch.randn(24, 5), torch.arange(24) % 4
    data = fewstep.from_dataset(TensorDataset(x, y), held_out=(0.0, 0.5))
    task = data.tasks(ways=2, shots=2, queries=4).train.sample(0, "t", 0, 3)
    known = {row.numpy().tobytes(): label for row, label in zip(x, y.tolist(), strict=True)}
    found = [known[row.numpy().tobytes()] for row in task.query.x[0]]
    assert found == [found[0]] * 4 + [found[4]] * 4


def test_several_datasets_are_the_splits():
    parts = {
        name: items(*((np.full(3, label), f"{name}{label}") for label in (0, 1, 0, 1)))
        for name in ("train", "val", "test")
    }
    data = fewstep.from_dataset(**parts)
    assert [[c.name for c in part] for part in (data.train, data.val, data.test)] == [
        [f"{name}0", f"{name}1"] for name in parts
    ]
    assert data.tasks(ways=2, shots=1, queries=1).val is not None


def test_classes_numbered_alike_in_two_datasets_are_named():
    same = items(*((np.full(3, label), label) for label in (0, 1, 0, 1)))
    with pytest.raises(ValueError, match=r"class '0' is in train \(2\) and in test \(2\)\n(.*\n)*.*different names"):
        fewstep.from_dataset(same, test=same).tasks(ways=2, shots=1, queries=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"train": items((np.zeros(3), 0), (np.zeros(4), 0))}, r"item 1 of train has an input of shape \[4\]"),
        ({"train": items(np.zeros(3))}, r"item 0 of train is a ndarray, expected a pair \(input, class\)"),
        ({"train": items(("a.png", 0))}, "the input of item 0 of train is a str, expected a tensor"),
        ({"train": items()}, "the datasets are empty"),
        ({"train": Pictures(), "val": Pictures()}, "val is given without test"),
    ],
)
def test_what_is_no_dataset_of_examples_is_an_error(arguments, said):
    with pytest.raises(ValueError, match=said):
        fewstep.from_dataset(**arguments)
