"""The gradient of the query loss through the whole inner loop, by everything that was learned."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fewstep.algorithm import Algorithm
from fewstep.core import Meta, MetaGradient, Params, Task
from fewstep.differentiation import grad_with_aux
from fewstep.inner.pulled import pulled, pulled_again
from fewstep.model import Model


def query_gradient(
    algorithm: Algorithm,
    model: Model,
    meta: Meta,
    task: Task,
    weights: Sequence[float],
    *,
    recompute: bool = False,
) -> MetaGradient:
    """∇ Σ_i w_i L_query(φ_i), `weights` being those after 0, 1, ..., S inner steps.

    Each term is split at its φ_i: the gradient there is first-order, and one vector-Jacobian product pulls all of them
    back through the inner loop, which with `recompute` is computed again on the way.
    """
    weighted = {i: weight for i, weight in enumerate(weights) if weight > 0}

    def query_loss(phi: Params, weight: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        logits = algorithm.predict(model, phi, task.query.x)
        loss = model.loss(logits, task.query.y)
        loss = loss if weight == 1 else weight * loss  # small nets feel every operation
        return loss, (loss, logits)

    adapt = pulled_again if recompute else pulled
    adapted = adapt(algorithm, model, meta, task.support, list(weighted))
    at_phi: list[Params] = []
    losses: list[Tensor] = []
    for phi, weight in zip(adapted.settled, weighted.values(), strict=True):
        gradient, (loss, logits) = grad_with_aux(query_loss, phi, weight)
        at_phi.append(gradient)
        losses.append(loss)
    total = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
    state = model.accumulated(meta.state, adapted.phis, task.query.x)
    return MetaGradient(adapted.pull_back(at_phi), state, total, logits)
