"""Batch norm on the statistics of the batch, then activation and pooling, with hand-written derivatives.

With y the inputs, a = (y − μ)/σ, M values a channel, and P(v) = v − mean(v) − a mean(v a), the projection that a batch
norm's gradient is: for a cotangent v of γ a + β it gives γ P(v)/σ to y, Σ v a to γ and Σ v to β. P is its own
transpose, so the derivative of that gradient needs no more than P of one further cotangent, and sums a channel.
Activations that are rectified lines do not decrease, so they commute with the maximum: they come after it, where there
is a quarter of the values.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import Function
from torch.nn.modules.utils import _pair

from fewstep.nets.convolution import is_plain


class After(NamedTuple):
    """What follows the normalisation: a leaky rectifier of `slope` (0: ReLU, 1: none), a maximum over 2×2, or not."""

    slope: float = 1.0
    pools: bool = False


class Normalised(nn.Module):
    """A batch norm on the statistics of its batch, with what follows it."""

    def __init__(self, layer: nn.BatchNorm2d, after: After) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        """`x: [N, C, H, W]`, to half the height and width where it pools."""
        if x.dim() != 4:
            raise ValueError(f"expected 4D input (got {x.dim()}D input)")
        is_fit = x.shape[1] == len(self.weight) and x.numel() > x.shape[1]  # else torch says what is wrong
        if is_plain(x) or not is_fit:
            normed = F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
            pooled = F.max_pool2d(normed, 2) if self.after.pools else normed
            return _rectified(pooled, self.after.slope)
        outputs: Tensor = _Normalise.apply(x, self.weight, self.bias, self.eps, self.after)  # type: ignore[no-untyped-call]
        return outputs


def what_follows(layers: Sequence[nn.Module]) -> tuple[After, int]:
    """What a batch norm can take over of the layers behind it, and how many they are."""
    slope, taken = 1.0, 0
    if layers and type(layers[0]) in (nn.ReLU, nn.LeakyReLU):
        slope, taken = float(getattr(layers[0], "negative_slope", 0.0)), 1
        if slope < 0:  # decreases
            return After(), 0
    pools = taken < len(layers) and _halves(layers[taken])
    return After(slope, pools), taken + pools


def replaces(layer: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether a `Normalised` can stand in for `layer`."""
    if type(layer) is not nn.BatchNorm2d or layer.running_mean is not None:
        return False
    return layer.weight is not None and layer.bias is not None


def _halves(layer: nn.Module) -> bool:
    if type(layer) is not nn.MaxPool2d or layer.ceil_mode or layer.return_indices:
        return False
    moves = ((layer.kernel_size, 2), (layer.stride, 2), (layer.padding, 0), (layer.dilation, 1))
    return all(found == wanted or tuple(_pair(found)) == (wanted, wanted) for found, wanted in moves)


class _Normalise(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, gamma: Tensor, beta: Tensor, eps: float, after: After) -> Tensor:
        normed, mean, inverse = torch.ops.aten.native_batch_norm(y, gamma, beta, None, None, True, 0.0, eps)
        pooled, chosen = torch.ops.aten.max_pool2d_with_indices(normed, [2, 2]) if after.pools else (normed, None)
        outputs = _rectified(pooled, after.slope)
        kept = None if after.slope == 1 else pooled  # not the outputs: who gets them may overwrite them
        ctx.save_for_backward(y, gamma, mean, inverse, kept, chosen)
        ctx.eps, ctx.after = eps, after
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        y, gamma, mean, inverse, kept, chosen = ctx.saved_tensors
        batch = _Batch(mean, inverse, kept, chosen, ctx.eps, ctx.after)
        return *_Pull.apply(gradient, y, gamma, batch), None, None  # type: ignore[no-untyped-call]


class _Batch(NamedTuple):
    """What the forward found: `mean, inverse: [C]` (1/σ), what was `rectified` and what `chosen`, `[N, C, h, w]`."""

    mean: Tensor
    inverse: Tensor
    rectified: Tensor | None
    chosen: Tensor | None
    eps: float
    after: After

    def through_rectifier(self, gradient: Tensor) -> Tensor:
        """A cotangent of the outputs to one of what the rectifier is given, and back: it is its own transpose."""
        slope = self.after.slope
        if slope == 1:
            return gradient
        if slope == 0:
            return torch.ops.aten.threshold_backward(gradient, self.rectified, 0)  # type: ignore[no-any-return]
        return torch.ops.aten.leaky_relu_backward(gradient, self.rectified, slope, False)  # type: ignore[no-any-return]

    def spread(self, gradient: Tensor, y: Tensor) -> Tensor:
        """To the positions that the maximum chose."""
        if self.chosen is None:
            return gradient
        found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, y, [2, 2], [2, 2], [0, 0], [1, 1], False, self.chosen
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

    def project(self, v: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """P(v)/σ, Σ v a and Σ v."""
        ones = torch.ones_like(self.mean)
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
            v, y, ones, None, None, self.mean, self.inverse, True, self.eps, [True, True, True]
        )
        return found


class _Pull(Function):
    """A cotangent of the outputs to cotangents of y, γ and β."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, y: Tensor, gamma: Tensor, batch: _Batch) -> tuple[Tensor, Tensor, Tensor]:
        at_maxima = batch.through_rectifier(gradient)
        projected, by_gamma, by_beta = batch.project(batch.spread(at_maxima, y), y)
        ctx.save_for_backward(y, gamma, projected, at_maxima, by_gamma)
        ctx.batch = batch
        return projected * _wide(gamma), by_gamma, by_beta

    @staticmethod
    def backward(ctx: Any, u: Tensor, to_gamma: Tensor, to_beta: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # μ and σ are constants from here on
            raise RuntimeError("fewstep differentiates batch norms twice, and this is asked for the third derivative")
        y, gamma, projected, at_maxima, by_gamma = ctx.saved_tensors
        batch: _Batch = ctx.batch
        values = y.numel() // len(gamma)
        mine, by_a, _ = batch.project(u, y)  # P(u)/σ, Σ u a
        mine_at_maxima = batch.gather(mine)
        of_gamma = (at_maxima * mine_at_maxima).sum((0, 2, 3))  # <u, P(v)>/σ

        # γ P(u)/σ + to_γ a + to_β, with a = (y − μ)/σ, where v can be other than zero
        shift = to_beta - to_gamma * batch.mean * batch.inverse
        of_v = torch.addcmul(_wide(shift), batch.gather(y), _wide(to_gamma * batch.inverse))
        of_gradient = batch.through_rectifier(of_v.addcmul_(mine_at_maxima, _wide(gamma)))

        # by a: P(to_γ v − γ (u mean(v a) + v mean(u a))/σ)/σ; by 1/σ: − γ <u, P(v)> a/(σ² M)
        share = gamma * batch.inverse / values
        by_inverse = share * of_gamma * batch.inverse
        of_y = torch.addcmul(_wide(by_inverse * batch.mean), y, _wide(-by_inverse))
        of_y.addcmul_(projected, _wide(to_gamma - share * by_a)).addcmul_(mine, _wide(-share * by_gamma))
        return of_gradient, of_y, of_gamma, None


def _wide(channels: Tensor) -> Tensor:
    return channels.view(-1, 1, 1)


def _rectified(values: Tensor, slope: float) -> Tensor:
    if slope == 1:
        return values
    return F.relu(values) if slope == 0 else F.leaky_relu(values, slope)
