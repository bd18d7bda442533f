"""Linear equations of named tensors, solved by conjugate gradients (Hestenes, Stiefel 1952)."""

from collections.abc import Callable

import torch
from torch import Tensor

from fewstep.core import Params


def conjugate_gradient(product: Callable[[Params], Params], right: Params, steps: int) -> Params:
    """x with A x = right after `steps` steps from zero, given `product`: v ↦ A v; exact after as many as dimensions.

    A is symmetric and positive definite. Once nothing is left of the residual x stays as it is, without a branch.
    """
    x = {name: torch.zeros_like(value) for name, value in right.items()}
    residual = along = right
    square = _inner_product(residual, residual)
    for _ in range(steps):
        image = product(along)
        length = _ratio(square, _inner_product(along, image))
        x = {name: value + length * along[name] for name, value in x.items()}
        residual = {name: value - length * image[name] for name, value in residual.items()}
        before, square = square, _inner_product(residual, residual)
        turn = _ratio(square, before)
        along = {name: value + turn * along[name] for name, value in residual.items()}
    return x


def _inner_product(a: Params, b: Params) -> Tensor:
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, where 0 / 0 is 0."""
    return a / torch.where(b == 0, 1.0, b)
