"""Conv4, the four-block convolutional net of the few-shot literature (Vinyals et al. 2016, arXiv:1606.04080)."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Conv4:
    """Four blocks of [3×3 convolution, batch norm, activation], then a linear head."""

    filters: int = 64
    """filters of every convolution"""
    downsample: Literal["pool", "stride", "stride_flatten"] = "pool"
    """pool: max-pool and flatten (the assignment, MAML++); stride: strided, mean over positions (official MAML);
    stride_flatten: strided, flattened (official Reptile)"""
    activation: Literal["relu", "leaky_relu"] = "relu"
    """after every batch norm"""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
        """The net from images `[N, *inputs]`, `inputs = (channels, height, width)`, to `[N, outputs]`."""
        if len(inputs) != 3:
            raise ValueError(f"Conv4 expects images (channels, height, width), got inputs of shape {inputs}")
        channels, height, width = inputs
        if self.downsample == "pool" and min(height, width) < 16:
            raise ValueError(f"Conv4 halves images four times and needs 16×16 pixels or more, got {height}×{width}")
        blocks = OrderedDict((f"block{i}", self._block(channels if i == 1 else self.filters)) for i in range(1, 5))
        rows, columns = (self._left_of(side) for side in (height, width))
        features = self.filters if self.downsample == "stride" else self.filters * rows * columns
        pooling = nn.AdaptiveAvgPool2d(1) if self.downsample == "stride" else nn.Identity()
        return nn.Sequential(OrderedDict(blocks, mean=pooling, flatten=nn.Flatten(), head=nn.Linear(features, outputs)))

    def _left_of(self, side: int) -> int:
        """Pixels of a side after four halvings: a pool drops a last odd one, a stride keeps it."""
        for _ in range(4):
            side = side // 2 if self.downsample == "pool" else (side + 1) // 2
        return side

    def _block(self, channels: int) -> nn.Sequential:
        stride = 1 if self.downsample == "pool" else 2
        layers = OrderedDict[str, nn.Module](
            conv=nn.Conv2d(channels, self.filters, 3, stride=stride, padding=1),
            norm=nn.BatchNorm2d(self.filters),
            activation=nn.LeakyReLU() if self.activation == "leaky_relu" else nn.ReLU(),
        )
        if self.downsample == "pool":
            layers["pool"] = nn.MaxPool2d(2)
        return nn.Sequential(layers)
