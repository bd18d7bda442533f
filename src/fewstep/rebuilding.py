"""From what a recipe or a file says of a net to the net, and to the adapted one: its norms as the policy has them, a
head of any width, φ inside.
"""

import copy
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewstep.core import Params
from fewstep.nets import norm as norms
from fewstep.nets.heads import head_with
from fewstep.nets.imported import Imported
from fewstep.nets.norm import WITHOUT_BATCH, Norm

MOST_NUMBERS = 1 << 31
"""Parameters of a net that is built by its spec: 8 GiB in float32."""


class Spec(Protocol):
    """Makes a net, in a recipe."""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """The net for inputs of this shape and so many outputs."""


def built(spec: Spec, inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """The net, looked at without its numbers before any memory is taken for them.

    Raises `ValueError` for one that cannot be built, or is too large.
    """
    if isinstance(spec, Imported):
        return spec.build(inputs, outputs)
    try:
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in spec.build(inputs, outputs).parameters())
        if count <= MOST_NUMBERS:
            return spec.build(inputs, outputs)
    except (RuntimeError, TypeError, ArithmeticError, MemoryError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{spec} cannot be built for inputs {list(inputs)}, {outputs} outputs: {reason}") from error
    raise ValueError(f"{spec} has {count} parameters, expected {MOST_NUMBERS} or fewer: make it narrower")


def built_of_file(
    spec: Spec | None, given: nn.Module | Spec | None, inputs: tuple[int, ...], outputs: int, path: Path
) -> nn.Module:
    """The net that the file at `path` is of: as `given` by the caller, else built by the `spec` in the file.

    A file may come from anybody, and to import what it names would run it: code is imported where the caller names it.

    Raises `ValueError` where the file names code and nothing is given.
    """
    if isinstance(given, nn.Module):
        return given
    if given is None and isinstance(spec, Imported):
        raise ValueError(
            f"{path} is of a net made by {spec.path!r}: code that is not in the file, nor imported on a file's word; "
            f"if you trust it, name it: net=fewstep.Imported(path={spec.path!r}), on the command line --net {spec.path}"
        )
    spec = spec if given is None else given
    assert spec is not None
    try:
        return built(spec, inputs, outputs)
    except ValueError as error:
        raise ValueError(f"{path} is not usable: {error}") from error


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
