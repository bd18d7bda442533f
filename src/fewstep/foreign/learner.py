"""A learner of anybody's code: two functions, and the parameters that they read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.core import Examples, Task

Part = nn.Module | Tensor


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What `fewstep.audit` needs to know of a learner written by hand, or with another library.

    Raises `ValueError` where `parameters` holds nothing that a gradient could reach.
    """

    adapt: Callable[[Examples], Any]
    """makes of a support set whatever `predict` wants, as in training"""
    predict: Callable[[Any, Tensor], Tensor]
    """logits `[M, ways]`, or values `[M, D]`, of queries `x: [M, *input]` from what `adapt` returned"""
    parameters: Part | Mapping[str, Part] | Sequence[Part]
    """all that is meta-learned: a module, or named or listed modules and tensors (learned rates)"""
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    """the outer loss of predictions and targets; default: the mean cross-entropy of class ids, else squared error"""
    backward: Callable[[Task], Tensor | None] | None = None
    """one task's outer backward pass, which leaves gradients in `.grad`; returns the query logits that it took the
    loss of, or None. Default: `loss(predict(adapt(support), query.x), query.y).backward()`"""
    order: Literal[1, 2] | None = 2
    """the derivative order that the code means to have; None where it follows no derivative, as Reptile"""
    transductive: bool = False
    """whether predictions are meant to depend on the other queries, as under batch norm in training mode"""

    def __post_init__(self) -> None:
        if not self.named():
            raise ValueError("parameters holds no tensor that requires a gradient: give all that is meta-learned")

    def parts(self) -> dict[str, Part]:
        """The modules and tensors of `parameters` by name; a lone one has none."""
        given = self.parameters
        if isinstance(given, Part):
            return {"": given}
        if isinstance(given, Mapping):
            return dict(given)
        if not isinstance(given, Sequence):
            raise ValueError(
                f"parameters is a {type(given).__name__}, which can be read once; give the module itself, or a list"
            )
        return {str(i): part for i, part in enumerate(given)}

    def named(self) -> dict[str, Tensor]:
        """Every meta-learned tensor by name."""
        found = {}
        for key, part in self.parts().items():
            inside = part.named_parameters() if isinstance(part, nn.Module) else [("", part)]
            found.update({".".join(filter(None, (key, name))): tensor for name, tensor in inside})
        return {name: tensor for name, tensor in found.items() if tensor.requires_grad and tensor.is_leaf}

    def outer_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The outer loss; a scalar."""
        if self.loss is not None:
            return self.loss(outputs, y)
        return F.mse_loss(outputs, y) if y.is_floating_point() else F.cross_entropy(outputs, y)
