"""What an inner optimizer is: a pair of pure functions, differentiable end to end."""

from collections.abc import Mapping
from typing import Protocol

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
