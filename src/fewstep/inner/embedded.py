"""A task's support set embedded, for heads that are made of it.

Letters: N examples of a support set, F features of an embedding.
"""

import torch
from torch import Tensor, nn

from fewstep.core import Examples, Meta, Params
from fewstep.model import Model


def body_of(model: Model) -> Params:
    """θ as the net was built: its parameters without those of the head.

    Raises `ValueError` for a regression: these heads are made of classes.
    """
    if not model.is_classifier:
        raise ValueError(
            f"this algorithm makes its head of the support set's classes, and the loss is '{model.loss_name}': "
            f"take mean_cross_entropy and class ids, or for values another algorithm, MAML for one"
        )
    return {name: value for name, value in model.parameters().items() if name not in model.head_names}


def embedded(model: Model, meta: Meta, support: Examples) -> Tensor:
    """The support set's embeddings `[N, F]` at θ, on the statistics that the norm policy has for the queries.

    Where those are accumulated, tested embeddings use them as queries do; else they use the support set's own.
    """
    embedding, theta = _embedding(model), meta.learned["theta"]
    if embedding.accumulates and embedding.is_evaluating:
        return embedding.query_outputs(embedding.settle(theta, support.x, meta.state, 0), support.x)
    return embedding.support_outputs(theta, support.x)


def embedded_queries(model: Model, phi: Params, x: Tensor) -> Tensor:
    """The embeddings `[M, F]` of queries at settled parameters."""
    return _embedding(model).query_outputs(without_head(model, phi), x)


def without_head(model: Model, phi: Params) -> Params:
    """φ less what belongs to the head."""
    return {name: value for name, value in phi.items() if not name.startswith(f"{model.head}.")}


def one_hot(model: Model, support: Examples, like: Tensor) -> Tensor:
    """The labels as rows `[N, ways]` of zeros and a one, for as many ways as the tasks at hand have."""
    ways = int(support.y.max()) + 1 if model.ways is None else model.ways
    return (support.y[:, None] == torch.arange(ways, device=support.y.device)).to(like.dtype)


def linear_head(model: Model, weight: Tensor, bias: Tensor) -> Params:
    """`weight: [ways, F]` and `bias: [ways]` under the names of the net's own head."""
    return {f"{model.head}.weight": weight, f"{model.head}.bias": bias}


def prototype_head(model: Model, features: Tensor, labels: Tensor, temperature: float = 1.0) -> Params:
    """The head whose logits are −‖f − c_k‖²/τ up to a number that all classes share: 2c_k/τ and −‖c_k‖²/τ.

    c_k is the mean of the `features: [N, F]` of class k; `labels: [N, ways]` are one-hot.
    """
    means = labels.mT @ features / labels.sum(0)[:, None]
    return linear_head(model, 2 * means / temperature, -means.square().sum(-1) / temperature)


def check_linear(model: Model) -> None:
    """Raise `ValueError` unless the net's head is an `nn.Linear` with a bias of its own, which a task's replaces."""
    head = model.net.get_submodule(str(model.head))
    if not isinstance(head, nn.Linear) or head.bias is None or len(model.head_names) < 2:
        raise ValueError(
            f"this algorithm writes weight and bias of a linear head, and '{model.head}' is {head}: "
            f"expected an nn.Linear with a bias that requires a gradient and is not tied to another layer"
        )


def _embedding(model: Model) -> Model:
    assert model.embedding is not None
    return model.embedding
