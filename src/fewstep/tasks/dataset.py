"""One's own torch datasets, of the map style: `len(dataset)` and `dataset[i]`, an input and its class."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from fewstep.tasks.labelled import Labelled
from fewstep.tasks.tensors import from_tensors


class MapStyle(Protocol):
    """What `torch.utils.data.Dataset` of the map style offers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def from_dataset(
    train: MapStyle,
    *,
    val: MapStyle | None = None,
    test: MapStyle | None = None,
    held_out: tuple[float, float] = (0.15, 0.25),
    seed: int = 0,
) -> Labelled:
    """Any map-style `Dataset` of (input, class) pairs; `.tasks(ways=..., shots=..., queries=...)` makes the tasks.

    Every dataset is read once, into memory, so random transforms are drawn once. Inputs are tensors, arrays or Pillow
    images, all of one shape; as in `from_tensors`, uint8 images become floats in [0, 1]. Classes are ids or strings;
    ids are called as the dataset's `classes` say, where it has that (torchvision's do).

    Without `test`, the shares `held_out` of the classes of `train` become val and test, chosen by `seed`. With it, the
    datasets are the splits.

    Raises `ValueError` for items that are no such pairs, and for inputs of several shapes.
    """
    parts = {"train": train, **({} if val is None else {"val": val}), **({} if test is None else {"test": test})}
    if test is None and val is not None:
        raise ValueError("val is given without test: give both, or train alone, whose classes are then split")
    inputs: list[Tensor] = []
    names: list[Hashable] = []
    split: list[str] = []
    for name, dataset in parts.items():
        classes: Sequence[str] | None = getattr(dataset, "classes", None)
        for i in range(len(dataset)):
            x, y = _pair(dataset, i, name)
            if inputs and x.shape != inputs[0].shape:
                raise ValueError(
                    f"item {i} of {name} has an input of shape {list(x.shape)}, the first one {list(inputs[0].shape)}: "
                    f"expected one shape; resize or pad in the dataset's transform"
                )
            inputs.append(x)
            names.append(classes[y] if classes is not None and isinstance(y, int) else y)
        split += [name] * len(dataset)
    if not inputs:
        raise ValueError("the datasets are empty")
    x = torch.stack(inputs)
    return from_tensors(x, names, split=None if test is None else split, held_out=held_out, seed=seed)


def _pair(dataset: MapStyle, i: int, name: str) -> tuple[Tensor, Any]:
    item = dataset[i]
    if not (isinstance(item, Sequence) and len(item) == 2):
        raise ValueError(f"item {i} of {name} is a {type(item).__name__}, expected a pair (input, class)")
    x, y = item
    if isinstance(x, Image):
        x = np.array(x)
    if not isinstance(x, Tensor | np.ndarray):
        raise ValueError(
            f"the input of item {i} of {name} is a {type(x).__name__}, expected a tensor, an array or a Pillow image"
        )
    return torch.as_tensor(x), y.item() if isinstance(y, Tensor | np.generic | np.ndarray) else y
