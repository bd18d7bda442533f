"""Weight norm by its formula, w = g v / ‖v‖ (Salimans & Kingma 2016, arXiv:1602.07868, eq. 2), on a copy of a net.

torch's own operation for it has a wrong second derivative on a CPU (torch 2.13: `gradgradcheck` of `torch._weight_norm`
fails), so that second-order meta-gradients through it would be wrong without a word. Parameter names stay as they are.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.weight_norm import WeightNorm

WHOLE = -1
"""The `dim` by which torch means one length for the whole of v."""


def copied(net: nn.Module) -> nn.Module:
    """A deep copy of `net`, where weights that the hook of weight norm has computed are cut from their graph.

    torch refuses to copy tensors that have one.
    """
    computed = [getattr(layer, hook.name) for layer, hook in _hooks(net)]
    return copy.deepcopy(net, {id(weight): weight.detach() for weight in computed})


def by_formula(net: nn.Module) -> nn.Module:
    """`net` itself, its weight norms of both kinds replaced."""
    for layer in net.modules():
        if isinstance(layer, ParametrizationList):
            for i, parametrization in enumerate(layer):
                if type(parametrization) is _WeightNorm:
                    layer[i] = Formula(parametrization.dim)
    for layer, hook in _hooks(net):
        key = next(key for key, other in layer._forward_pre_hooks.items() if other is hook)
        layer._forward_pre_hooks[key] = _Computed(hook.name, hook.dim)
        layer.register_forward_hook(_Dropped(hook.name))
    return net


def weight_of(g: Tensor, v: Tensor, dim: int) -> Tensor:
    """g v / ‖v‖: a length g for every row of v along `dim`, or one for all."""
    others = [i for i in range(v.dim()) if dim == WHOLE or i != dim % v.dim()]
    length = (v * v).sum(others, keepdim=dim != WHOLE).sqrt()
    return v * (g / length)


class Formula(nn.Module):
    """In place of the parametrization."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        """The weight, shaped like `v`."""
        return weight_of(g, v, self.dim)


@dataclass(frozen=True)
class _Computed:
    """In place of the hook: sets the weight before a forward."""

    name: str
    dim: int

    def __call__(self, layer: nn.Module, inputs: Any) -> None:
        g, v = (getattr(layer, f"{self.name}_{part}") for part in "gv")
        setattr(layer, self.name, weight_of(g, v, self.dim))


@dataclass(frozen=True)
class _Dropped:
    """Takes the weight away after a forward, so that the layer can be copied."""

    name: str

    def __call__(self, layer: nn.Module, inputs: Any, outputs: Any) -> None:
        setattr(layer, self.name, torch.empty(0))


def _hooks(net: nn.Module) -> list[tuple[nn.Module, WeightNorm]]:
    return [
        (layer, hook)
        for layer in net.modules()
        for hook in layer._forward_pre_hooks.values()
        if isinstance(hook, WeightNorm)
    ]
