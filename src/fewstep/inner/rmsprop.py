"""RMSprop (Hinton, Tieleman 2012, Coursera lecture 6.5), not centered, with ε inside or outside the root."""

from dataclasses import dataclass

from fewstep.core import Inner, Params
from fewstep.inner.optimizer import Rates, average, check_decay, check_epsilons, descend, root, zeros


@dataclass(frozen=True, kw_only=True)
class RMSprop:
    """v ← ρ v + (1 − ρ) g²,  φ ← φ − α g / (√(v + eps_inside) + eps_outside), with v = 0 at the start.

    As `torch.optim.RMSprop`, without bias correction: the first step is 1/√(1 − ρ) times that of Adam.
    Where v + eps_inside is exactly zero the root is taken as zero, with zero derivative.
    """

    decay: float = 0.99
    """ρ, in [0, 1)"""
    eps_inside: float = 0.0
    """ε under the root"""
    eps_outside: float = 1e-8
    """ε beside the root"""

    def __post_init__(self) -> None:
        check_decay("decay", self.decay)
        check_epsilons("RMSprop", self.eps_inside, self.eps_outside)

    def init(self, phi: Params) -> dict[str, Params]:
        """The mean squared gradients, zero."""
        return {"mean_square": zeros(phi)}

    def step(self, inner: Inner, gradient: Params, lr: Rates) -> Inner:
        """One step of descent, each element at its own rate."""
        mean_square = {
            name: average(inner.slots["mean_square"][name], g * g, self.decay) for name, g in gradient.items()
        }
        phi = {
            name: descend(value, gradient[name] / root(mean_square[name], self.eps_inside, self.eps_outside), lr[name])
            for name, value in inner.phi.items()
        }
        return Inner(phi, {"mean_square": mean_square})
