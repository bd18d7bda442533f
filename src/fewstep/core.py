"""The nouns that every other module speaks in.

Letters of the shapes, here and everywhere: T tasks of a meta-batch, N examples of a support or query set,
D outputs of a regression, ways classes of a classification task.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

Tree = TypeVar("Tree", bound=Any)

Params = dict[str, Tensor]
"""Named tensors under the user's own parameter names; always floating point."""


class Meta(NamedTuple):
    """What meta-training moves: `learned` by the outer optimizer, `state` without gradient."""

    learned: dict[str, Params]
    state: dict[str, Params]


class Examples(NamedTuple):
    """Inputs `x: [N, *input]` and targets `y: [N]` class ids (int64) or `[N, D]` values."""

    x: Tensor
    y: Tensor


class Task(NamedTuple):
    """One few-shot task; a meta-batch is a Task whose tensors lead with `[T]`."""

    support: Examples
    query: Examples

    def select(self, tasks: int | slice) -> "Task":
        """One task of a meta-batch, or a smaller meta-batch for a slice."""
        return map_tensors(lambda tensor: tensor[tasks], self)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Task":
        """The task on `device`; floating tensors also in `dtype`."""
        return map_tensors(lambda x: x.to(device, dtype if x.is_floating_point() else None), self)


class Inner(NamedTuple):
    """The inner loop's state: adapted parameters `phi` and the inner optimizer's `slots`."""

    phi: Params
    slots: dict[str, Params]


class MetaGradient(NamedTuple):
    """One task's contribution to an update; `gradient` is shaped like `Meta.learned`."""

    gradient: dict[str, Params]
    state: dict[str, Params]
    loss: Tensor
    logits: Tensor


def map_tensors(function: Callable[..., Tensor], tree: Tree, *others: Tree) -> Tree:
    """`function` of the tensors at the same place of every tree: nested dicts, lists and NamedTuples."""
    mapped: Any
    if isinstance(tree, Tensor):
        mapped = function(tree, *others)
    elif isinstance(tree, dict) and not others:
        mapped = {key: map_tensors(function, value) for key, value in tree.items()}
    elif isinstance(tree, dict):
        mapped = {key: map_tensors(function, tree[key], *(other[key] for other in others)) for key in tree}
    else:
        parts = [map_tensors(function, *parts) for parts in zip(tree, *others, strict=True)]
        mapped = type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return cast(Tree, mapped)


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in the order in which `map_tensors` visits them."""
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree
    return [tensor for part in parts for tensor in tensors_of(part)]


def with_tensors(tree: Tree, tensors: Iterable[Tensor]) -> Tree:
    """A tree like `tree` of other tensors, which come in the order of `tensors_of`."""
    left = iter(tensors)
    return map_tensors(lambda tensor: next(left), tree)
