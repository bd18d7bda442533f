"""From a net as it was built to the adapted one: its norms as the policy has them, a head of any width, φ inside."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewstep.core import Params
from fewstep.nets import norm as norms
from fewstep.nets.heads import head_with
from fewstep.nets.norm import WITHOUT_BATCH, Norm


def rebuilt(net: nn.Module, norm: Norm, head: str | None, tensors: Params) -> nn.Module:
    """A copy of `net` in evaluation mode that holds `tensors`, the class and the names as they were.

    Under `group`, `layer` and `none` the batch norms are replaced. The head is made anew where `tensors` have one of
    another width. Raises `ValueError` where names or shapes do not fit.
    """
    net = norms.without_batch(net, norm) if norm in WITHOUT_BATCH else copy.deepcopy(net)
    like = next(iter(tensors.values()))
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            _keep_statistics(layer, like)
    if head is not None:
        _fit_head(net, head, tensors)
    try:
        unexpected = net.load_state_dict(tensors, strict=False).unexpected_keys
    except RuntimeError as error:
        raise ValueError(f"these tensors are of another net than {type(net).__name__}: {error}") from error
    if unexpected:
        raise ValueError(f"these tensors are of another net than {type(net).__name__}: it has no {unexpected}")
    return net.eval()


def _keep_statistics(layer: _BatchNorm, like: Tensor) -> None:
    """Make sure that evaluation mode reads running statistics, whatever the net was built with."""
    if layer.running_mean is None:
        layer.track_running_stats = True
        layer.running_mean = like.new_zeros(layer.num_features)
        layer.running_var = like.new_ones(layer.num_features)
        layer.num_batches_tracked = torch.zeros((), dtype=torch.long, device=like.device)


def _fit_head(net: nn.Module, head: str, tensors: Params) -> None:
    """Put the head that `tensors` are of in the place of one of another width or kind."""
    prefix = f"{head}."
    wanted = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    present = net.get_submodule(head).state_dict()
    if wanted and {name: value.shape for name, value in wanted.items()} != {n: v.shape for n, v in present.items()}:
        parent, _, name = head.rpartition(".")
        setattr(net.get_submodule(parent), name, head_with(wanted))
