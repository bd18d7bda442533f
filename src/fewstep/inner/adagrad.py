"""Adagrad (Duchi, Hazan, Singer 2011), with ε inside or outside the root."""

from dataclasses import dataclass

from fewstep.core import Inner, Params
from fewstep.inner.optimizer import Rates, check_epsilons, descend, root, zeros


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
        check_epsilons("Adagrad", self.eps_inside, self.eps_outside)

    def init(self, phi: Params) -> dict[str, Params]:
        """The sums of squared gradients, zero."""
        return {"square_sum": zeros(phi)}

    def step(self, inner: Inner, gradient: Params, lr: Rates) -> Inner:
        """One step of descent, each element at its own rate."""
        square_sum = {name: inner.slots["square_sum"][name] + g * g for name, g in gradient.items()}
        phi = {
            name: descend(value, gradient[name] / root(square_sum[name], self.eps_inside, self.eps_outside), lr[name])
            for name, value in inner.phi.items()
        }
        return Inner(phi, {"square_sum": square_sum})
