"""Gradient descent with momentum (Polyak 1964), or with Nesterov's (Sutskever et al. 2013)."""

from dataclasses import dataclass

from fewstep.core import Inner, Params
from fewstep.inner.optimizer import Rates, check_decay, descend, zeros


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """v ← μ v + g,  φ ← φ − α v, or with `nesterov` φ ← φ − α (g + μ v), with v = 0 at the start.

    As `torch.optim.SGD`: the rate is outside v, so it acts on every gradient that v still remembers.
    """

    momentum: float = 0.9
    """μ, in [0, 1)"""
    nesterov: bool = False
    """look ahead by one more step of v"""

    def __post_init__(self) -> None:
        check_decay("momentum", self.momentum)

    def init(self, phi: Params) -> dict[str, Params]:
        """The velocities, zero."""
        return {"velocity": zeros(phi)}

    def step(self, inner: Inner, gradient: Params, lr: Rates) -> Inner:
        """One step along the velocity."""
        velocity = {name: self.momentum * inner.slots["velocity"][name] + g for name, g in gradient.items()}
        ahead = {name: g + self.momentum * velocity[name] for name, g in gradient.items()}
        along = ahead if self.nesterov else velocity
        phi = {name: descend(value, along[name], lr[name]) for name, value in inner.phi.items()}
        return Inner(phi, {"velocity": velocity})
