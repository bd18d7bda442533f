"""Matching networks (Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra 2016, arXiv:1606.04080, eq. 1).

Learn an embedding f under which a query's label is the mean of the support labels, by attention to those like it:
a(x, x_i) = softmax_i(s · cos(f(x), f(x_i))),  p(y | x) = Σ_i a(x, x_i) y_i,
θ ← θ − β ∇_θ mean over tasks of L_query.

φ keeps the support set's embeddings and labels in the place of the head; logits are log probabilities.
Departures: no full-context embeddings (section 2.1.2): f embeds each example by itself, support and queries alike;
a scale s of the cosines, without which (s = 1, the paper's) no query's probability can come near 1.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.embedded import body_of, embedded, embedded_queries, one_hot
from fewstep.inner.query_gradient import query_gradient
from fewstep.model import Model
from fewstep.nets.heads import attended


@dataclass(frozen=True, kw_only=True)
class MatchingNet:
    """Matching networks by cosine attention; tasks may have any number of ways."""

    makes_head: ClassVar[bool] = True
    inner_steps: ClassVar[int] = 0
    head: str | None = None
    """the dotted name of the net's head, which the support set takes the place of; None: the last nn.Linear"""
    scale: float = 1.0
    """s, which multiplies cosines"""

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale={self.scale}: expected more than 0")

    def order_at(self, update: int) -> Literal[2]:
        """The whole derivative: the support set's embeddings are functions of θ too."""
        return 2

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss, under the head that is made at once."""
        return (1.0,)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ: the net's body as it was built.

        Raises `ValueError` for a regression.
        """
        return Meta({"theta": body_of(model)}, model.statistics(0))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """The body, and the support set as keys and labels."""
        keys = embedded(model, meta, support)
        labels, scale = one_hot(model, support, keys), keys.new_full((), self.scale)
        made = {f"{model.head}.keys": keys, f"{model.head}.labels": labels, f"{model.head}.scale": scale}
        return Inner({**meta.learned["theta"], **made}, {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """Nothing further: the head is made at once."""
        return inner

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """Log probabilities `[M, ways]` (eq. 1)."""
        features = embedded_queries(model, phi, x)
        return attended(features, *(phi[f"{model.head}.{name}"] for name in ("keys", "labels", "scale")))

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇_θ L_query, through both embeddings (eq. 6)."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))
