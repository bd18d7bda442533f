"""Convolutions whose second derivatives are convolutions too.

<u, conv(x, w)> is linear in each of x, w and u, so every derivative of it is one of three: the convolution itself, its
gradient by the input, its gradient by the weight. torch takes the derivative of the last by a convolution with a
kernel as large as the image, which is slow; here all of them are what a first derivative takes.
"""

from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import Function

from fewstep.differentiation import is_transforming

DEVICES = ("cpu", "cuda")
"""The kinds of device on which derivatives of our own are taken."""


class Geometry(NamedTuple):
    """How the kernel moves."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def positions(self, inputs: torch.Size, weight: torch.Size) -> list[int]:
        """Of the kernel, along the height and along the width."""
        sides = zip(inputs[2:], weight[2:], self.stride, self.padding, self.dilation, strict=True)
        return [
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, kernel, stride, padding, dilation in sides
        ]


class Convolution(nn.Module):
    """A two-dimensional convolution with the weight and bias of `layer`; channels last outside of transforms."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        assert not isinstance(layer.padding, str)
        self.weight, self.bias = layer.weight, layer.bias
        self.geometry = Geometry(layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, x: Tensor) -> Tensor:
        """`x: [N, C, H, W]`, or `[C, H, W]`."""
        if is_plain(x):
            return F.conv2d(x, self.weight, self.bias, *self.geometry)
        outputs: Tensor = _Convolve.apply(channels_last(x), self.weight, self.bias, self.geometry)  # type: ignore[no-untyped-call]
        return outputs


def is_plain(x: Tensor) -> bool:
    """Whether torch's own operations are to be taken: in transforms, under autocast, for inputs `[C, H, W]` or none.

    Also on other devices than a CPU or CUDA's, of which some know no autocast.
    """
    kind = x.device.type
    if is_transforming() or kind not in DEVICES or torch.is_autocast_enabled(kind):
        return True
    return x.dim() != 4 or x.numel() == 0


def replaces(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a `Convolution` can stand in for `layer`."""
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def channels_last(x: Tensor) -> Tensor:
    """The same values, laid out so. Strides are set even where one channel leaves them open, as backends look there."""
    x = x.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = x.shape
    return x if channels > 1 else x.as_strided(x.shape, (height * width, 1, width, 1))


class _Convolve(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        pull = _Pull.apply if torch.is_grad_enabled() else gradients
        return *pull(gradient, x, weight, ctx.geometry, ctx.needs_input_grad[:3]), None


class _Pull(Function):
    """A cotangent of the outputs to cotangents of input, weight and bias; None for those not wanted."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, ...]
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(gradient, x, weight)
        ctx.geometry = geometry
        return gradients(gradient, x, weight, geometry, wanted)

    @staticmethod
    def backward(
        ctx: Any, by_x: Tensor | None, by_weight: Tensor | None, by_bias: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        gradient, x, weight = ctx.saved_tensors
        geometry: Geometry = ctx.geometry
        outputs = None
        if by_weight is not None:
            outputs, by_bias = F.conv2d(x, by_weight, by_bias, *geometry), None
        if by_x is not None:
            more = F.conv2d(by_x, weight, by_bias, *geometry)
            outputs, by_bias = more if outputs is None else outputs + more, None
        if by_bias is not None:
            outputs = by_bias.view(-1, 1, 1).expand_as(gradient)
        of_x = of_weight = None
        if ctx.needs_input_grad[1] and by_weight is not None:
            of_x = gradients(gradient, x, by_weight, geometry, (True, False, False))[0]
        if ctx.needs_input_grad[2] and by_x is not None:
            of_weight = gradients(gradient, by_x, weight, geometry, (False, True, False))[1]
        return outputs, of_x, of_weight, None, None


def gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """By input, weight and bias, for a cotangent of the outputs; None for those not wanted."""
    stride, padding, dilation, groups = geometry
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)], stride, padding, dilation, False, [0, 0], groups, wanted
    )
    return found
