"""A net's head: the last linear layer, behind the embedding."""

import copy

from torch import nn


def head_of(net: nn.Module) -> str | None:
    """The dotted name of the last `nn.Linear`, as the net registers its layers; None where there is none."""
    return next((name for name, layer in reversed(list(net.named_modules())) if isinstance(layer, nn.Linear)), None)


def check_head(net: nn.Module, head: str) -> None:
    """Raise `ValueError` unless `head` names a layer of `net` that has parameters."""
    layers = dict(net.named_modules())
    if head not in layers or not head or not list(layers[head].parameters()):
        linear = [name for name, layer in layers.items() if isinstance(layer, nn.Linear)]
        raise ValueError(f"head={head!r} names no layer with parameters of this net; its linear layers: {linear}")


def without_head(net: nn.Module, head: str) -> nn.Module:
    """The embedding: a copy of `net` that returns what its head takes in, with everything behind the head intact."""
    net = copy.deepcopy(net)
    parent, _, name = head.rpartition(".")
    setattr(net.get_submodule(parent), name, nn.Identity())
    return net
