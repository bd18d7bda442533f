"""Batch norm on the statistics of the batch, with what follows it, and hand-written derivatives.

With y the inputs, a = (y − μ)/σ, M values a channel, and P(v) = v − mean(v) − a mean(v a), the projection that a batch
norm's gradient is: for a cotangent v of γ a + β it gives γ P(v)/σ to y, Σ v a to γ and Σ v to β. P is its own
transpose, so the derivative of that gradient needs no more than P of one further cotangent, and sums a channel.
"""

from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import Function

from fewstep.nets.convolution import is_plain
from fewstep.nets.following import After, Passed


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
            return self.after.of(F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps))
        outputs: Tensor = _Normalise.apply(x, self.weight, self.bias, self.eps, self.after)  # type: ignore[no-untyped-call]
        return outputs


def replaces(layer: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether a `Normalised` can stand in for `layer`."""
    if type(layer) is not nn.BatchNorm2d or layer.running_mean is not None:
        return False
    return layer.weight is not None and layer.bias is not None


class _Normalise(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, gamma: Tensor, beta: Tensor, eps: float, after: After) -> Tensor:
        normed, mean, inverse = torch.ops.aten.native_batch_norm(y, gamma, beta, None, None, True, 0.0, eps)
        outputs, passed = after.passed(normed)
        ctx.save_for_backward(y, gamma, mean, inverse, passed.rectified, passed.chosen)
        ctx.eps, ctx.slope = eps, after.slope
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        y, gamma, mean, inverse, rectified, chosen = ctx.saved_tensors
        batch = _Batch(mean, inverse, ctx.eps, Passed(ctx.slope, rectified, chosen))
        if torch.is_grad_enabled():
            return *_Pull.apply(gradient, y, gamma, batch), None, None  # type: ignore[no-untyped-call]
        return *batch.pull(batch.passed.through_rectifier(gradient), y, gamma), None, None


class _Batch(NamedTuple):
    """What the forward found: `mean, inverse: [C]` (1/σ), and what passed."""

    mean: Tensor
    inverse: Tensor
    eps: float
    passed: Passed

    def pull(self, at_maxima: Tensor, y: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """γ P(v)/σ, Σ v a and Σ v, for v at the positions that the maximum chose."""
        return self._through_norm(self.passed.spread(at_maxima, y), y, gamma)

    def project(self, v: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """P(v)/σ, Σ v a and Σ v."""
        return self._through_norm(v, y, torch.ones_like(self.mean))

    def _through_norm(self, v: Tensor, y: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
            v, y, gamma, None, None, self.mean, self.inverse, True, self.eps, [True, True, True]
        )
        return found


class _Pull(Function):
    """A cotangent of the outputs to cotangents of y, γ and β."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, y: Tensor, gamma: Tensor, batch: _Batch) -> tuple[Tensor, Tensor, Tensor]:
        at_maxima = batch.passed.through_rectifier(gradient)
        projected, by_gamma, by_beta = batch.pull(at_maxima, y, torch.ones_like(gamma))
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
        mine_at_maxima = batch.passed.gather(mine)
        of_gamma = (at_maxima * mine_at_maxima).sum((0, 2, 3))  # <u, P(v)>/σ

        # γ P(u)/σ + to_γ a + to_β, with a = (y − μ)/σ, where v can be other than zero
        shift = to_beta - to_gamma * batch.mean * batch.inverse
        of_v = torch.addcmul(_wide(shift), batch.passed.gather(y), _wide(to_gamma * batch.inverse))
        of_gradient = batch.passed.through_rectifier(of_v.addcmul_(mine_at_maxima, _wide(gamma)))

        # by a: P(to_γ v − γ (u mean(v a) + v mean(u a))/σ)/σ; by 1/σ: − γ <u, P(v)> a/(σ² M)
        share = gamma * batch.inverse / values
        by_inverse = share * of_gamma * batch.inverse
        of_y = torch.addcmul(_wide(by_inverse * batch.mean), y, _wide(-by_inverse))
        of_y.addcmul_(projected, _wide(to_gamma - share * by_a)).addcmul_(mine, _wide(-share * by_gamma))
        return of_gradient, of_y, of_gamma, None


def _wide(channels: Tensor) -> Tensor:
    return channels.view(-1, 1, 1)
