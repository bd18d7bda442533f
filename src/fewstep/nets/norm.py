"""Norm policies: which statistics every batch norm of a net uses, by replacing it on a copy of the net.

`transductive`: each forward uses the statistics of its own batch, the query batch included (MAML's published
figures). `support`: queries use the statistics of one extra support forward at the adapted parameters (MetaBN,
arXiv:2003.03284), kept beside the parameters under the net's own `running_mean` and `running_var`.
Parameter names stay as they are.
"""

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewstep.core import Params

Norm = Literal["transductive", "support"]


def has_batch_norm(net: nn.Module) -> bool:
    """Whether any layer of `net` is a batch norm."""
    return any(isinstance(layer, _BatchNorm) for layer in net.modules())


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


class GivenStatistics(nn.Module):
    """Normalisation by the buffers `running_mean` and `running_var: [C]`.

    Written out because `F.batch_norm` sends no gradient to the running statistics that it is given.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        device = layer.weight.device if layer.affine else None
        self.register_buffer("running_mean", torch.zeros(layer.num_features, device=device))
        self.register_buffer("running_var", torch.ones(layer.num_features, device=device))

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
