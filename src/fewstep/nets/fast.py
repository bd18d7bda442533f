"""A copy of any net whose convolutions and batch norms take second derivatives fast: same names, same values."""

import copy
from itertools import takewhile

from torch import nn

from fewstep.nets import convolution, normalisation
from fewstep.nets.convolution import Convolution
from fewstep.nets.normalisation import After, Normalised, what_follows


def fast(net: nn.Module) -> nn.Module:
    """A copy of `net`. In an `nn.Sequential`, a batch norm takes over the activation and pooling behind it.

    Layers that hooks watch stay as they are.
    """
    return _fast(copy.deepcopy(net), After(), {})


def _fast(net: nn.Module, after: After, done: dict[tuple[int, After], nn.Module]) -> nn.Module:
    if _is_watched(net):
        return net
    if isinstance(net, nn.Conv2d) and convolution.replaces(net):
        return done.setdefault((id(net), after), Convolution(net))
    if isinstance(net, nn.BatchNorm2d) and normalisation.replaces(net):
        return done.setdefault((id(net), after), Normalised(net, after))
    if type(net) is nn.Sequential:
        _take_over(net, done)
        return net
    for name, child in net._modules.items():  # named_children() leaves out a layer's second name
        if child is not None:
            setattr(net, name, _fast(child, After(), done))
    return net


def _take_over(row: nn.Sequential, done: dict[tuple[int, After], nn.Module]) -> None:
    layers, names = list(row), list(row._modules)
    position = 0
    while position < len(layers):
        after, taken = After(), 0
        if normalisation.replaces(layers[position]) and not _is_watched(layers[position]):
            behind = takewhile(lambda layer: not _is_watched(layer), layers[position + 1 :])
            after, taken = what_follows(list(behind))
        row._modules[names[position]] = _fast(layers[position], after, done)
        for name in names[position + 1 : position + 1 + taken]:
            row._modules[name] = nn.Identity()
        position += 1 + taken


def _is_watched(layer: nn.Module) -> bool:
    return any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks))
