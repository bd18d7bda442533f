"""What follows a batch norm in most nets, a rectifier and a maximum over 2×2, with the derivatives of both.

Activations that are rectified lines do not decrease, so they commute with the maximum: they come after it, where there
is a quarter of the values.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.utils import _pair


class Passed(NamedTuple):
    """Which values went on: what was `rectified`, by `slope`, and what `chosen`, `[N, C, h, w]` where there was any.

    Derivatives are linear maps: `spread` after `through_rectifier` takes a cotangent of the outputs to the inputs, and
    `through_rectifier` after `gather` is its transpose.
    """

    slope: float
    rectified: Tensor | None
    chosen: Tensor | None

    def through_rectifier(self, gradient: Tensor) -> Tensor:
        """A cotangent of the outputs to one of what the rectifier is given, and back: it is its own transpose."""
        if self.slope == 1:
            return gradient
        if self.slope == 0:
            return torch.ops.aten.threshold_backward(gradient, self.rectified, 0)  # type: ignore[no-any-return]
        return torch.ops.aten.leaky_relu_backward(gradient, self.rectified, self.slope, False)  # type: ignore[no-any-return]

    def spread(self, gradient: Tensor, like: Tensor) -> Tensor:
        """To the positions that the maximum chose, zero elsewhere; laid out as `like` is."""
        if self.chosen is None:
            return gradient
        found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, like, [2, 2], [2, 2], [0, 0], [1, 1], False, self.chosen
        )
        return found

    def gather(self, values: Tensor) -> Tensor:
        """From the positions that the maximum chose."""
        if self.chosen is None:
            return values
        count, channels, height, width = self.chosen.shape
        chosen = self.chosen.permute(0, 2, 3, 1).reshape(count, -1, channels)
        rows = values.permute(0, 2, 3, 1).reshape(count, -1, channels).gather(1, chosen)
        return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


class After(NamedTuple):
    """A leaky rectifier of `slope` (0: ReLU, 1: none) and a maximum over 2×2, or not."""

    slope: float = 1.0
    pools: bool = False

    def of(self, values: Tensor) -> Tensor:
        """The outputs, by operations that torch differentiates."""
        return self._rectified(F.max_pool2d(values, 2) if self.pools else values)

    def passed(self, values: Tensor) -> tuple[Tensor, Passed]:
        """The outputs, and which values they are. What is kept is not the outputs: who gets them may overwrite them."""
        pooled, chosen = torch.ops.aten.max_pool2d_with_indices(values, [2, 2]) if self.pools else (values, None)
        return self._rectified(pooled), Passed(self.slope, None if self.slope == 1 else pooled, chosen)

    def _rectified(self, values: Tensor) -> Tensor:
        if self.slope == 1:
            return values
        return F.relu(values) if self.slope == 0 else F.leaky_relu(values, self.slope)


def what_follows(layers: Sequence[nn.Module]) -> tuple[After, int]:
    """What a batch norm can take over of the layers behind it, and how many they are."""
    slope, taken = 1.0, 0
    if layers and type(layers[0]) in (nn.ReLU, nn.LeakyReLU):
        slope, taken = float(getattr(layers[0], "negative_slope", 0.0)), 1
        if slope < 0:  # decreases
            return After(), 0
    pools = taken < len(layers) and _halves(layers[taken])
    return After(slope, pools), taken + pools


def _halves(layer: nn.Module) -> bool:
    if type(layer) is not nn.MaxPool2d or layer.ceil_mode or layer.return_indices:
        return False
    moves = ((layer.kernel_size, 2), (layer.stride, 2), (layer.padding, 0), (layer.dilation, 1))
    return all(found == wanted or tuple(_pair(found)) == (wanted, wanted) for found, wanted in moves)
