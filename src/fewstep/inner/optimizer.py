"""What an inner optimizer is: a pair of pure functions, differentiable end to end; and what several of them share."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from fewstep.core import Inner, Params

Rates = Mapping[str, Tensor | float]
"""A learning rate per parameter name."""


class InnerOptimizer(Protocol):
    """A frozen dataclass of hyperparameters; a rate per tensor comes with every step."""

    def init(self, phi: Params) -> dict[str, Params]:
        """The slots before the first step."""
        ...

    def step(self, inner: Inner, gradient: Params, lr: Rates) -> Inner:
        """Parameters and slots after one step along `gradient`."""
        ...


SURELY_POSITIVE = 1e-7
"""A number that no precision of torch's rounds to zero."""


def descend(value: Tensor, direction: Tensor, rate: Tensor | float) -> Tensor:
    """value − rate · direction, in one operation where the rate is a number."""
    return value - rate * direction if isinstance(rate, Tensor) else torch.sub(value, direction, alpha=rate)


def row_at(rows: Params, i: int) -> Params:
    """Row i of tensors that have one for every inner step, the last where there are no more."""
    return {name: value[min(i, len(value) - 1)] for name, value in rows.items()}


def zeros(phi: Params) -> Params:
    """A slot per parameter, of its shape, zero."""
    return {name: torch.zeros_like(value) for name, value in phi.items()}


def average(old: Tensor, new: Tensor | float, decay: float) -> Tensor:
    """The moving average: decay · old + (1 − decay) · new."""
    return decay * old + (1 - decay) * new


def root(square: Tensor, eps_inside: float, eps_outside: float) -> Tensor:
    """√(square + eps_inside) + eps_outside; a root of exactly zero has zero derivative in place of an infinite one."""
    if eps_inside >= SURELY_POSITIVE:  # and squares are no less than zero
        rooted = (square + eps_inside).sqrt()
        return rooted + eps_outside if eps_outside > 0 else rooted
    inside = square + eps_inside
    positive = inside > 0
    return torch.where(positive, inside, 1.0).sqrt() * positive + eps_outside


def check_epsilons(rule: str, eps_inside: float, eps_outside: float) -> None:
    """Raise `ValueError` unless `root` is positive wherever a gradient may be zero."""
    if not (eps_inside >= 0 and eps_outside >= 0 and eps_inside + eps_outside > 0):
        raise ValueError(
            f"{rule} divides by √(square + eps_inside) + eps_outside: both must be ≥ 0 and one of them > 0, "
            f"got eps_inside={eps_inside}, eps_outside={eps_outside}"
        )


def check_decay(name: str, value: float) -> None:
    """Raise `ValueError` unless a moving average or sum can decay by `value`."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value}: expected at least 0 and less than 1")
