"""ResNet-12, the residual net of the few-shot literature.

The widths, activation and pooling of MetaOptNet (Lee et al. 2019, arXiv:1904.03758, section 4.1): 64-160-320-640, leaky
ReLU of slope 0.1, a max-pool after every block; with the mean over positions of TADAM (Oreshkin et al. 2018,
arXiv:1805.10123) before the head. Departure: DropBlock is left out, so that a forward draws no random numbers.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

SLOPE = 0.1
"""Of leaky ReLU below zero."""


@dataclass(frozen=True, kw_only=True)
class ResNet12:
    """Four residual blocks of three 3×3 convolutions, the mean over positions, then a linear head."""

    widths: tuple[int, int, int, int] = (64, 160, 320, 640)
    """filters of each block"""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
        """The net from images `[N, *inputs]`, `inputs = (channels, height, width)`, to `[N, outputs]`."""
        if len(inputs) != 3:
            raise ValueError(f"ResNet12 expects images (channels, height, width), got inputs of shape {inputs}")
        channels, height, width = inputs
        if min(height, width) < 16:
            raise ValueError(f"ResNet12 halves images four times and needs 16×16 pixels or more, got {height}×{width}")
        blocks = OrderedDict[str, nn.Module](
            (f"block{i}", ResidualBlock(before, after))
            for i, (before, after) in enumerate(pairwise((channels, *self.widths)), start=1)
        )
        head = nn.Linear(self.widths[-1], outputs)
        return nn.Sequential(OrderedDict(blocks, mean=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), head=head))


class ResidualBlock(nn.Module):
    """[convolution, batch norm, leaky ReLU] three times, the last ReLU after the sum with the shortcut; max-pool."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        widths = (channels, filters, filters, filters)
        layers = OrderedDict[str, nn.Module]()
        for i, (before, after) in enumerate(pairwise(widths), start=1):
            layers[f"conv{i}"] = nn.Conv2d(before, after, 3, padding=1, bias=False)
            layers[f"norm{i}"] = nn.BatchNorm2d(after)
            if i < 3:
                layers[f"activation{i}"] = nn.LeakyReLU(SLOPE)
        self.body = nn.Sequential(layers)
        self.shortcut = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(channels, filters, 1, bias=False), norm=nn.BatchNorm2d(filters))
        )
        self.activation = nn.LeakyReLU(SLOPE)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """`x: [N, channels, H, W]` to `[N, filters, H // 2, W // 2]`."""
        outputs: Tensor = self.pool(self.activation(self.body(x) + self.shortcut(x)))
        return outputs
