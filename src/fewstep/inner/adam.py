"""Adam (Kingma, Ba 2015, arXiv:1412.6980, Alg. 1), with ε inside or outside the root."""

from dataclasses import dataclass

from torch import Tensor

from fewstep.core import Inner, Params
from fewstep.inner.optimizer import Rates, average, check_decay, check_epsilons, descend, root, zeros


@dataclass(frozen=True, kw_only=True)
class Adam:
    """m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  φ ← φ − α m̂ / (√(v̂ + eps_inside) + eps_outside).

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) after t steps, as in `torch.optim.Adam`. In place of t we keep both
    divisors, which are the same moving averages of 1 in place of g: in float32, 1 − 0.999ᵗ itself loses eight bits.
    Where v̂ + eps_inside is exactly zero the root is taken as zero, with zero derivative.
    """

    beta1: float = 0.9
    """β₁, in [0, 1); 0 in Reptile"""
    beta2: float = 0.999
    """β₂, in [0, 1)"""
    eps_inside: float = 0.0
    """ε under the root"""
    eps_outside: float = 1e-8
    """ε beside the root"""

    def __post_init__(self) -> None:
        check_decay("beta1", self.beta1)
        check_decay("beta2", self.beta2)
        check_epsilons("Adam", self.eps_inside, self.eps_outside)

    def init(self, phi: Params) -> dict[str, Params]:
        """Both moments and, one number per tensor, what divides them: all zero."""

        def weights() -> Params:
            return {name: value.new_zeros(()) for name, value in phi.items()}

        # four tensors, none of them twice: where slots persist, each is written in place
        return {"mean": zeros(phi), "mean_square": zeros(phi), "mean_weight": weights(), "square_weight": weights()}

    def step(self, inner: Inner, gradient: Params, lr: Rates) -> Inner:
        """One step along the mean, each element at its own rate."""
        old = inner.slots
        slots = {
            "mean": {name: average(old["mean"][name], g, self.beta1) for name, g in gradient.items()},
            "mean_square": {name: average(old["mean_square"][name], g * g, self.beta2) for name, g in gradient.items()},
            "mean_weight": {name: average(old["mean_weight"][name], 1.0, self.beta1) for name in gradient},
            "square_weight": {name: average(old["square_weight"][name], 1.0, self.beta2) for name in gradient},
        }
        phi = {name: descend(value, self._direction(slots, name), lr[name]) for name, value in inner.phi.items()}
        return Inner(phi, slots)

    def _direction(self, slots: dict[str, Params], name: str) -> Tensor:
        mean = slots["mean"][name] / slots["mean_weight"][name]
        mean_square = slots["mean_square"][name] / slots["square_weight"][name]
        return mean / root(mean_square, self.eps_inside, self.eps_outside)
