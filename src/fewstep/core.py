"""The nouns that every other module speaks in.

Letters of the shapes, here and everywhere: T tasks of a meta-batch, N examples of a support or query set,
D outputs of a regression, ways classes of a classification task.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

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
        return Task(*(Examples(examples.x[tasks], examples.y[tasks]) for examples in (self.support, self.query)))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Task":
        """The task on `device`; floating tensors also in `dtype`."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        return Task(*(Examples(move(examples.x), move(examples.y)) for examples in (self.support, self.query)))


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
