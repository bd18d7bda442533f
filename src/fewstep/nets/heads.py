"""Heads that are made for a task: what takes the place of a net's own head once the net is adapted.

Letters: M queries, N support examples, F features of an embedding.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cosines(features: Tensor, others: Tensor) -> Tensor:
    """The cosine of every row of `features: [M, F]` with every row of `others: [K, F]`: `[M, K]`."""
    return F.normalize(features, dim=-1) @ F.normalize(others, dim=-1).mT


def attended(features: Tensor, keys: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """Log probabilities `[M, ways]`: one-hot `labels: [N, ways]` under a softmax of scaled cosines with `keys`."""
    attention = (scale * cosines(features, keys)).softmax(-1)
    return (attention @ labels).clamp_min(torch.finfo(features.dtype).tiny).log()


class CosineHead(nn.Module):
    """Logits that are scaled cosines with a weight a class: `weight: [ways, F]`, `scale: []`."""

    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_buffer("scale", scale)

    def forward(self, features: Tensor) -> Tensor:
        """`[M, F]` to `[M, ways]`."""
        return self.scale * cosines(features, self.weight)


class AttentionHead(nn.Module):
    """Log probabilities by cosine attention over a support set: `keys: [N, F]`, `labels: [N, ways]`, `scale: []`."""

    labels: Tensor
    scale: Tensor

    def __init__(self, keys: Tensor, labels: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.keys = nn.Parameter(keys)
        self.register_buffer("labels", labels)
        self.register_buffer("scale", scale)

    def forward(self, features: Tensor) -> Tensor:
        """`[M, F]` to `[M, ways]`."""
        return attended(features, self.keys, self.labels, self.scale)


def head_with(tensors: Mapping[str, Tensor]) -> nn.Module:
    """The head that has these tensors, by their names: an `nn.Linear`, a `CosineHead` or an `AttentionHead`.

    Raises `ValueError` for other names.
    """
    names = set(tensors)
    if names == {"weight", "bias"}:
        ways, features = tensors["weight"].shape
        linear = nn.Linear(features, ways, device=tensors["weight"].device, dtype=tensors["weight"].dtype)
        linear.load_state_dict(dict(tensors))
        return linear
    for kind, wanted in ((CosineHead, {"weight", "scale"}), (AttentionHead, {"keys", "labels", "scale"})):
        if names == wanted:
            made: nn.Module = kind(**tensors)
            return made
    raise ValueError(f"no head has the tensors {sorted(names)}")
