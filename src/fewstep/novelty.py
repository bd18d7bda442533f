"""How unlike a support set an image is, measured by leaving out the support set's own classes.

Letters: M images, N support examples, E numbers of an embedding (what the head takes in), L left-out examples.

Each class is left out in turn, the learner adapted to the others, and the distance from every left-out example to the
nearest of those others taken: so far away are classes that the learner was not adapted to. The novelty of an image is
the share of these distances that its own does not exceed, (1 + how many) of (1 + L) in conformal prediction (Vovk,
Gammerman, Shafer 2005), here interpolated between them. So an image of an unknown class has a novelty that is uniform
in [0, 1], whatever the data, as far as unknown classes are like those of the support set; one of a known class is
near 0. Calling unknown what lies above 0.2 misses one unknown image in five. One example a class is enough.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Reference(NamedTuple):
    """What novelty is measured by: `embeddings: [N, E]` of the support, distances `left_out: [L]`, ascending."""

    embeddings: Tensor
    left_out: Tensor


def nearest_distances(embeddings: Tensor, others: Tensor) -> Tensor:
    """The cosine distance, in [0, 2], from each of `embeddings: [M, E]` to the nearest of `others: [N, E]`: `[M]`."""
    cosines = F.normalize(embeddings, dim=1) @ F.normalize(others, dim=1).T
    return (1 - cosines).clamp_min(0).min(1).values


def novelty(reference: Reference, embeddings: Tensor) -> Tensor | None:
    """In [0, 1] for each of `embeddings: [M, E]`; None where no class could be left out."""
    left_out = reference.left_out
    if not len(left_out):
        return None
    distances = nearest_distances(embeddings, reference.embeddings)
    not_above = torch.searchsorted(left_out, distances, right=True)
    edges = torch.cat([left_out.new_zeros(1), left_out])
    below = edges[not_above]
    above = edges[(not_above + 1).clamp_max(len(left_out))]
    between = (distances - below) / (above - below)
    beyond = 1 - below / distances  # farther than all: towards 1 with the distance
    return (not_above + torch.where(not_above < len(left_out), between, beyond)) / (1 + len(left_out))
