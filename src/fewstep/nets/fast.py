"""A net of torch's own layers in a row, whose convolutions and batch norms take second derivatives fast."""

import copy
from collections import Counter, OrderedDict
from itertools import pairwise, takewhile

from torch import Tensor, nn

from fewstep.nets import convolution, normalisation
from fewstep.nets.attention import on_math
from fewstep.nets.convolution import Convolution
from fewstep.nets.folded import Folded
from fewstep.nets.following import After, what_follows
from fewstep.nets.normalisation import Normalised
from fewstep.nets.weight_norm import by_formula

KNOWN = ("torch.nn.", "fewstep.")
"""Where layers come from whose forward is known to take inputs in any memory layout."""


def fast(net: nn.Module) -> nn.Module:
    """A copy of `net`: same names, same values. A batch norm takes over the activation and pooling behind it.

    Weight norms and attentions are replaced by such as can be differentiated twice.

    A net with code of its own, which may look at its layers or at how their outputs lie in memory, is copied as it is;
    so are layers that hooks watch.
    """
    net = on_math(by_formula(copy.deepcopy(net)))
    return _fast(net, After()) if _is_row(net) and not _has_shared_layers(net) else net


def _is_row(net: nn.Module) -> bool:
    if type(net) is nn.Sequential and "forward" not in net.__dict__ and not _is_watched(net):
        return all(_is_row(layer) for layer in net)
    return not list(net.children()) and type(net).__module__.startswith(KNOWN) and "forward" not in net.__dict__


def _has_shared_layers(net: nn.Module) -> bool:
    return max(Counter(id(layer) for _, layer in net.named_modules(remove_duplicate=False)).values()) > 1


def _fast(net: nn.Module, after: After) -> nn.Module:
    if _is_watched(net):
        return net
    if convolution.replaces(net):
        return Convolution(net)
    if normalisation.replaces(net):
        return Normalised(net, after)
    return _Row(net) if isinstance(net, nn.Sequential) else net


class _Row(nn.Sequential):
    """A row whose convolutions take in the batch norm behind them where they can."""

    def __init__(self, row: nn.Sequential) -> None:
        super().__init__(OrderedDict(row.named_children()))
        self.training = row.training
        _replace_layers(self)
        self._folded = {
            i: Folded(layer, norm)
            for i, (layer, norm) in enumerate(pairwise(self))
            if isinstance(layer, Convolution) and isinstance(norm, Normalised)
        }

    def forward(self, x: Tensor) -> Tensor:
        """Every layer after the other."""
        is_done = False
        for i, layer in enumerate(self):
            if is_done:
                is_done = False
            elif i in self._folded and self._folded[i].fits(x):
                x, is_done = self._folded[i](x), True
            else:
                x = layer(x)
        return x


def _replace_layers(row: nn.Sequential) -> None:
    layers, names = list(row), list(row._modules)
    position = 0
    while position < len(layers):
        after, taken = what_follows(list(takewhile(lambda layer: not _is_watched(layer), layers[position + 1 :])))
        made = row._modules[names[position]] = _fast(layers[position], after)
        position += 1
        for _ in range(taken if isinstance(made, Normalised) else 0):
            row._modules[names[position]] = nn.Identity()
            position += 1


def _is_watched(layer: nn.Module) -> bool:
    return any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks))
