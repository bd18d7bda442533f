"""Adagrad (Duchi, Hazan, Singer 2011), with ε inside or outside the root."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewstep.core import Inner, Params
from fewstep.inner.optimizer import Rates


@dataclass(frozen=True, kw_only=True)
class Adagrad:
    """n ← n + g²,  φ ← φ − α g / (√(n + eps_inside) + eps_outside), with n = 0 at the start.

    The assignment has `eps_inside=0.7`; `torch.optim.Adagrad` has `eps_outside=1e-10`.
    Where n + eps_inside is exactly zero the root is taken as zero, with zero derivative.
    """

    eps_inside: float = 0.7
    """ε under the root"""
    eps_outside: float = 0.0
    """ε beside the root"""

    def __post_init__(self) -> None:
        if min(self.eps_inside, self.eps_outside) < 0 or max(self.eps_inside, self.eps_outside) == 0:
            raise ValueError(
                f"Adagrad divides by √(n + eps_inside) + eps_outside: both must be ≥ 0 and one of them > 0, "
                f"got eps_inside={self.eps_inside}, eps_outside={self.eps_outside}"
            )

    def init(self, phi: Params) -> dict[str, Params]:
        """The sums of squared gradients, zero."""
        return {"square_sum": {name: torch.zeros_like(value) for name, value in phi.items()}}

    def step(self, inner: Inner, gradient: Params, lr: Rates) -> Inner:
        """One step of descent, each element at its own rate."""
        square_sum = {name: inner.slots["square_sum"][name] + g * g for name, g in gradient.items()}
        phi = {
            name: value - lr[name] * gradient[name] / self._root(square_sum[name]) for name, value in inner.phi.items()
        }
        return Inner(phi, {"square_sum": square_sum})

    def _root(self, square_sum: Tensor) -> Tensor:
        inside = square_sum + self.eps_inside
        positive = inside > 0
        return torch.where(positive, inside, 1.0).sqrt() * positive + self.eps_outside
