"""The multilayer perceptron of the sinusoid experiments."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn


@dataclass(frozen=True, kw_only=True)
class MLP:
    """Linear layers with activations between them; 1-40-40-1 in MAML's regression (arXiv:1703.03400, section 5.1)."""

    hidden: tuple[int, ...] = (40, 40)
    """widths of the hidden layers"""
    activation: Literal["relu", "tanh"] = "relu"
    """after every hidden layer"""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
        """The net mapping `[N, *inputs]`, flattened, to `[N, outputs]`."""
        widths = (prod(inputs), *self.hidden)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.Tanh() if self.activation == "tanh" else nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
