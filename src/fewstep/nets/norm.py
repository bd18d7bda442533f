"""Norm policies: what every batch norm of a net does, by replacing it on a copy of the net. Names stay as they are.

Inner steps use the support batch's own statistics in every policy that has any; the policies differ in the queries'.

- `transductive`: the statistics of the query batch itself, at test too (MAML's published figures).
- `support`: those of one extra support forward at the adapted parameters (MetaBN, arXiv:2003.03284).
- `running`: of the query batch in training; accumulated over training in evaluation.
- `per_step`: the same with one row for every inner step (BNRS of MAML++, arXiv:1810.09502, section 4).
- `group`, `layer`, `none`: group norm, layer norm over channels and positions, or no normalisation, in its place.

Statistics that queries are given are kept beside the parameters under the net's own `running_mean` and `running_var`.
Departure from torch: the variance kept is the biased one, which is what training divides by.
"""

import copy
import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewstep.core import Params

Norm = Literal["transductive", "support", "running", "per_step", "group", "layer", "none"]
WITHOUT_BATCH: tuple[Norm, ...] = ("group", "layer", "none")
"""The policies that put something else in the place of batch norms."""

CHANNELS_PER_GROUP = 16
"""Of group norm (arXiv:1803.08494, table 3: 16 channels a group do as well as 32 groups)."""


def has_batch_norm(net: nn.Module) -> bool:
    """Whether any layer of `net` is a batch norm."""
    return any(isinstance(layer, _BatchNorm) for layer in net.modules())


def norm_parameters(net: nn.Module) -> tuple[str, ...]:
    """The names of the weights and biases that belong to norms."""
    kinds = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, PerExample)
    return tuple(
        f"{prefix}.{name}" if prefix else name
        for prefix, layer in net.named_modules()
        if isinstance(layer, kinds)
        for name, _ in layer.named_parameters(recurse=False)
    )


def without_batch(net: nn.Module, norm: Norm) -> nn.Module:
    """A copy of `net` whose batch norms are group norms, layer norms or nothing but their scale and shift."""
    return _replace_batch_norms(copy.deepcopy(net), lambda layer: PerExample(layer, norm), {})


def on_batch_statistics(net: nn.Module) -> nn.Module:
    """A copy of `net` whose batch norms use the batch they see and keep no running statistics."""
    net = copy.deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
    return net


def on_given_statistics(net: nn.Module) -> nn.Module:
    """A copy of `net` whose batch norms use the `running_mean` and `running_var` given to them."""
    return _replace_batch_norms(copy.deepcopy(net), GivenStatistics, {})


def observing(net: nn.Module) -> nn.Module:
    """A copy of `net` whose batch norms use the batch they see and remember its statistics."""
    return _replace_batch_norms(copy.deepcopy(net), ObservedStatistics, {})


def take_observed(net: nn.Module) -> Params:
    """The statistics that the last forward of an `observing` net saw, taken out of it."""
    statistics: Params = {}
    for name, layer in net.named_modules():
        if isinstance(layer, ObservedStatistics) and layer.seen:  # not a layer that the forward leaves out
            prefix = f"{name}." if name else ""
            statistics[f"{prefix}running_mean"], statistics[f"{prefix}running_var"] = layer.seen
            layer.seen = ()
    return statistics


def initial_statistics(net: nn.Module, rows: int) -> Params:
    """Mean 0 and variance 1, `[rows, C]` for every batch norm of an `on_given_statistics` net."""
    return {
        name: buffer.detach().expand(rows, -1).clone()
        for prefix, layer in net.named_modules()
        if isinstance(layer, GivenStatistics)
        for name, buffer in layer.named_buffers(prefix, recurse=False)
    }


class GivenStatistics(nn.Module):
    """Normalisation by the buffers `running_mean` and `running_var: [C]`.

    Written out because `F.batch_norm` sends no gradient to the running statistics that it is given.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        like = layer.weight if layer.affine else torch.empty(0)
        self.register_buffer("running_mean", torch.zeros(layer.num_features, device=like.device, dtype=like.dtype))
        self.register_buffer("running_var", torch.ones(layer.num_features, device=like.device, dtype=like.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """`x: [N, C, ...]` normalised per channel."""
        return _normalise(x, self.running_mean, self.running_var, self)


class ObservedStatistics(nn.Module):
    """Normalisation by the batch, whose mean and biased variance `[C]` stay in `seen` until taken."""

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.seen: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """`x: [N, C, ...]` normalised per channel."""
        all_but_channels = [0, *range(2, x.dim())]
        self.seen = (x.mean(all_but_channels), x.var(all_but_channels, unbiased=False))
        return _normalise(x, *self.seen, self)


class PerExample(nn.Module):
    """Normalisation of each example by itself, over groups of channels and all positions, or none at all."""

    def __init__(self, layer: _BatchNorm, norm: Norm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        channels = layer.num_features
        groups = {"layer": 1, "group": math.gcd(channels, max(1, channels // CHANNELS_PER_GROUP))}
        self.groups = groups.get(norm)

    def forward(self, x: Tensor) -> Tensor:
        """`x: [N, C, ...]`, then scaled and shifted per channel."""
        if self.groups is not None:
            x = F.group_norm(x, self.groups, eps=self.eps)
        shape = (1, -1) + (1,) * (x.dim() - 2)
        x = x if self.weight is None else x * self.weight.view(shape)
        return x if self.bias is None else x + self.bias.view(shape)


def _normalise(x: Tensor, mean: Tensor, var: Tensor, layer: GivenStatistics | ObservedStatistics) -> Tensor:
    shape = (1, -1) + (1,) * (x.dim() - 2)
    scale = torch.rsqrt(var + layer.eps)
    if layer.weight is not None:
        scale = scale * layer.weight
    x = (x - mean.view(shape)) * scale.view(shape)
    return x if layer.bias is None else x + layer.bias.view(shape)


def _replace_batch_norms(
    net: nn.Module, replacement: Callable[[_BatchNorm], nn.Module], done: dict[int, nn.Module]
) -> nn.Module:
    if isinstance(net, _BatchNorm):
        return done.setdefault(id(net), replacement(net))
    for name, child in net._modules.items():  # named_children() leaves out a layer's second name
        if child is not None:
            setattr(net, name, _replace_batch_norms(child, replacement, done))
    return net
