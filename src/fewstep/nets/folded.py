"""A convolution of inputs that take no gradient, with the batch norm behind it folded into its weight.

The outputs of a convolution are linear in the patches of its inputs, so that each channel's mean and variance follow
from the patches' mean and covariance S: the variance is wᵀ S w, for that channel's row w of the weight. The batch norm
is then a change of weight and bias, whose derivatives are those of small tensors. Of the largest outputs of a net only
the convolution itself is left, over a few images at a time, as many as stay in a processor's cache.
"""

import weakref
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

from fewstep.nets.convolution import Convolution, Geometry, channels_last, gradients, is_plain
from fewstep.nets.following import After, Passed
from fewstep.nets.normalisation import Normalised

CACHED_BYTES = 1 << 20
"""Of a convolution's outputs: about what a processor's core has for itself."""


class Folded:
    """A convolution and a batch norm as one function, for the inputs that it `fits`."""

    def __init__(self, convolution: Convolution, norm: Normalised) -> None:
        self._convolution, self._norm = convolution, norm
        self._last: _Moments | None = None

    def fits(self, x: Tensor) -> bool:
        """Whether outputs are those of both layers, and come faster: patches must be small beside the outputs."""
        weight, geometry, gamma = self._convolution.weight, self._convolution.geometry, self._norm.weight
        if is_plain(x) or x.requires_grad or not x.dtype == weight.dtype == gamma.dtype or not x.is_floating_point():
            return False
        if geometry.groups > 1 or x.shape[1] != weight.shape[1] or len(gamma) != len(weight):
            return False
        height, width = geometry.positions(x.shape, weight.shape)
        return weight.shape[1:].numel() <= len(weight) and min(height, width) > 0 and len(x) * height * width > 1

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs of both layers, with what follows them, of `x: [N, C, H, W]`."""
        convolution, norm = self._convolution, self._norm
        mean, covariance = self._moments(x)
        rows = convolution.weight.flatten(1)
        exact = rows.double()
        variance = ((exact @ covariance) * exact).sum(1)
        scaled = rows * (norm.weight * torch.rsqrt(variance + norm.eps).to(x.dtype)).unsqueeze(1)
        weight, bias = scaled.view_as(convolution.weight), norm.bias - scaled @ mean
        outputs: Tensor = _Convolve.apply(x, weight, bias, convolution.bias, convolution.geometry, norm.after)  # type: ignore[no-untyped-call]
        return outputs

    def __getstate__(self) -> dict[str, Any]:
        """A copy finds moments of its own: those kept are of a tensor that it may never see."""
        return {**self.__dict__, "_last": None}

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The patches' mean and covariance; those of the last inputs are kept, as inner steps see the same again."""
        if x.is_inference():  # has no version
            return _moments(x, self._convolution)
        if self._last is None or self._last.x() is not x or self._last.version != x._version:
            self._last = _Moments(weakref.ref(x), x._version, *_moments(x, self._convolution))
        return self._last.mean, self._last.covariance


class _Moments(NamedTuple):
    """Of the patches of an input."""

    x: weakref.ref[Tensor]
    version: int
    mean: Tensor
    covariance: Tensor


@torch.inference_mode(False)  # what is kept must serve later forwards, with gradients too
@torch.no_grad()
def _moments(x: Tensor, convolution: Convolution) -> tuple[Tensor, Tensor]:
    """The mean `[K]` of the patches of `x`, K values each, and their biased covariance `[K, K]`, which is float64."""
    stride, padding, dilation, _ = convolution.geometry
    patches = F.unfold(x.double(), convolution.weight.shape[2:], dilation, padding, stride)
    count = len(x) * patches.shape[2]
    mean = patches.sum((0, 2)) / count
    return mean.to(x.dtype), (patches @ patches.mT).sum(0) / count - torch.outer(mean, mean)


class _Convolve(Function):
    """Convolution and what follows; `x` takes no gradient, and the layer's `own_bias`, which the norm undoes, zeros."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, own_bias: Tensor | None, geometry: Geometry, after: After
    ) -> Tensor:
        x = channels_last(x)
        parts = torch.split(x, _at_once(x, weight, geometry))
        made = [after.passed(F.conv2d(images, weight, bias, *geometry)) for images in parts]
        ctx.save_for_backward(x, weight, *(tensor for _, passed in made for tensor in passed[1:]))
        ctx.geometry, ctx.slope = geometry, after.slope
        return _joined([outputs for outputs, _ in made])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *kept = ctx.saved_tensors
        passed = [Passed(ctx.slope, *pair) for pair in zip(kept[::2], kept[1::2], strict=True)]
        by_own_bias = None
        if ctx.needs_input_grad[3]:  # as torch fills in gradients of what is unused
            by_own_bias = weight.new_zeros(len(weight), requires_grad=torch.is_grad_enabled())
        return None, *_Pull.apply(gradient, x, weight, ctx.geometry, passed), by_own_bias, None, None  # type: ignore[no-untyped-call]


class _Pull(Function):
    """A cotangent of the outputs to cotangents of weight and bias: linear in it, and else of the inputs alone."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, passed: list[Passed]
    ) -> tuple[Tensor, Tensor]:
        at_once = _at_once(x, weight, geometry)
        ctx.save_for_backward(x)
        ctx.geometry, ctx.passed, ctx.at_once = geometry, passed, at_once
        by_weight, by_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        for part, images, one in zip(torch.split(gradient, at_once), torch.split(x, at_once), passed, strict=True):
            spread = one.spread(one.through_rectifier(part), _like_outputs(images, weight, geometry))
            _, *found = gradients(spread, images, weight, geometry, (False, True, True))
            for total, of_part in zip((by_weight, by_bias), found, strict=True):
                assert of_part is not None
                total += of_part
        return by_weight, by_bias

    @staticmethod
    def backward(ctx: Any, to_weight: Tensor, to_bias: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        outputs = [
            passed.through_rectifier(passed.gather(F.conv2d(images, to_weight, to_bias, *ctx.geometry)))
            for images, passed in zip(torch.split(x, ctx.at_once), ctx.passed, strict=True)
        ]
        return _joined(outputs), None, None, None, None


def _at_once(x: Tensor, weight: Tensor, geometry: Geometry) -> int:
    """How many images."""
    if x.device.type != "cpu":
        return len(x)
    height, width = geometry.positions(x.shape, weight.shape)
    return max(1, CACHED_BYTES // (height * width * len(weight) * x.element_size()))


def _like_outputs(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Shaped and laid out like the convolution's outputs; its values are nothing."""
    shape = (len(x), len(weight), *geometry.positions(x.shape, weight.shape))
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]
