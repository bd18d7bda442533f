"""One's own tensors: examples of classes, or examples with values whose groups are the tasks."""

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewstep.tasks.arranging import arrange, at_random
from fewstep.tasks.episodes import ImageClass
from fewstep.tasks.grouped import Group, Grouped
from fewstep.tasks.labelled import Labelled, twins
from fewstep.tasks.preflight import Problem, counted

Array = Tensor | npt.NDArray[Any]
Labels = Tensor | npt.NDArray[Any] | Sequence[Any]

MOST_CHANNELS = 4


@overload
def from_tensors(
    x: Array,
    y: Labels,
    *,
    names: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    held_out: tuple[float, float] = (0.15, 0.25),
    seed: int = 0,
) -> Labelled: ...


@overload
def from_tensors(
    x: Array,
    y: Labels,
    *,
    task: Labels,
    split: Sequence[str] | None = None,
    held_out: tuple[float, float] = (0.15, 0.25),
    seed: int = 0,
) -> Grouped: ...


def from_tensors(
    x: Array,
    y: Labels,
    *,
    task: Labels | None = None,
    names: Sequence[str] | None = None,
    split: Sequence[str] | None = None,
    held_out: tuple[float, float] = (0.15, 0.25),
    seed: int = 0,
) -> Labelled | Grouped:
    """Examples `x: [N, *input]` (torch or numpy) for few-shot tasks; `.tasks(shots=..., queries=...)` makes them.

    Classification: `y: [N]` are class ids or strings; `names[id]` says what an id is called. Regression: `y: [N]` or
    `[N, D]` are values, and `task: [N]` says which examples are of one task (a shop, a patient, a sensor).

    `split: [N]` of "train", "val" and "test" divides the classes or tasks; without it the shares `held_out` of them
    become val and test, chosen by `seed`. Images in uint8, `[N, height, width]`, `[N, channels, height, width]` or
    `[N, height, width, channels]`, become floats in [0, 1]; other integers (tokens, for an embedding) stay integers,
    all else is used as it is, in float32.

    Raises `ValueError` for lengths that differ, values in place of class ids, and values that are no numbers.
    """
    examples = _examples(x)
    given = {"y": y, "task": task, "split": split}
    lengths = {name: len(values) for name, values in given.items() if values is not None}
    if not len(examples) or {*lengths.values()} != {len(examples)}:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(
            f"x has {counted(len(examples), 'example')}, {found}: expected as many of each, and one or more"
        )
    keys = _class_names(y, names) if task is None else _keys(task, "task")
    split = at_random(keys, held_out, seed) if split is None else split
    return _labelled(examples, keys, split) if task is None else _grouped(examples, _values(y), keys, split)


def _labelled(x: Tensor, keys: list[Hashable], split: Sequence[str]) -> Labelled:
    order, shares = arrange(keys, split, lambda key, start, size: ImageClass(str(key), start, size))
    problems = (_not_finite(x, "x"),)
    x = x[torch.tensor(order)]
    return Labelled(
        x=x,
        **shares._asdict(),
        problems=problems,
        notes=twins(x.numpy(), shares._asdict(), noun="example"),
        content=_content(x),
    )


def _grouped(x: Tensor, y: Tensor, keys: list[Hashable], split: Sequence[str]) -> Grouped:
    order, shares = arrange(keys, split, lambda key, start, size: Group(str(key), start, size))
    problems = (_not_finite(x, "x"), _not_finite(y, "y"))
    x, y = x[torch.tensor(order)], y[torch.tensor(order)]
    return Grouped(x=x, y=y, **shares._asdict(), problems=problems, content=_content(x, y))


def _examples(x: Array) -> Tensor:
    x = torch.from_numpy(_numbers(x, "x")) if isinstance(x, np.ndarray) else x.detach().cpu()
    if x.dim() == 1:
        x = x[:, None]
    if x.dtype == torch.uint8 and x.dim() in (3, 4):
        if x.dim() == 3:
            return x[:, None]
        is_last = x.shape[-1] <= MOST_CHANNELS < x.shape[1]
        return x.movedim(-1, 1).contiguous() if is_last else x
    is_token = not (x.is_floating_point() or x.dtype in (torch.uint8, torch.bool))
    return x.long() if is_token else x.float()


def _values(y: Labels) -> Tensor:
    values = torch.from_numpy(_numbers(y, "y")) if not isinstance(y, Tensor) else y.detach().cpu()
    if values.dim() not in (1, 2):
        raise ValueError(f"y has shape {list(values.shape)}: expected [N] or [N, D] values")
    return values.float().reshape(len(values), -1)


def _numbers(values: Any, name: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} is of {array.dtype}: expected numbers")
    return np.ascontiguousarray(array)


def _keys(values: Labels, name: str) -> list[Hashable]:
    keys = values.tolist() if isinstance(values, Tensor | np.ndarray) else [*values]
    if any(isinstance(key, list) for key in keys):
        raise ValueError(f"{name} has more than one entry an example: expected [N]")
    return keys


def _class_names(y: Labels, names: Sequence[str] | None) -> list[Hashable]:
    keys = _keys(y, "y")
    if any(isinstance(key, float) for key in keys):
        raise ValueError(
            "y holds floating-point values, expected class ids or names: convert it (y.long()), or, for a regression, "
            "say with task= which examples are of one task"
        )
    if names is None:
        return keys
    if beyond := {key for key in keys if not (isinstance(key, int) and 0 <= key < len(names))}:
        raise ValueError(f"y has {min(beyond, key=str)!r}, which is no place in the {len(names)} names")
    return [names[key] for key in keys if isinstance(key, int)]


def _not_finite(values: Tensor, name: str) -> Problem:
    bad = (~values.isfinite()).flatten(1).any(1).nonzero()[:, 0].tolist()
    items = [f"{name} is not finite in {counted(len(bad), 'example')}, {bad[0]} for one"] if bad else []
    return Problem(items, "fill in or remove what is missing")


def _content(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
