"""Gradient descent: φ ← φ − α g."""

from dataclasses import dataclass

from fewstep.core import Inner, Params
from fewstep.inner.optimizer import Rates, descend


@dataclass(frozen=True, kw_only=True)
class SGD:
    """φ ← φ − α g, as in MAML (arXiv:1703.03400, Alg. 2, line 7)."""

    def init(self, phi: Params) -> dict[str, Params]:
        """No slots."""
        return {}

    def step(self, inner: Inner, gradient: Params, lr: Rates) -> Inner:
        """One step of descent."""
        phi = {name: descend(value, gradient[name], lr[name]) for name, value in inner.phi.items()}
        return Inner(phi, inner.slots)
