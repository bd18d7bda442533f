"""ANIL, almost no inner loop (Raghu, Raghu, Bengio, Vinyals 2020, arXiv:1909.09157, section 4).

MAML whose inner loop adapts the head alone: what MAML learns is mostly a good embedding, which is then reused.
φ_{i+1}^head = φ_i^head − α ∇_head L_support(φ_i),  φ^body = θ^body,
θ ← θ − β ∇_θ mean over tasks of L_query(φ_S).

The head is the last `nn.Linear`, or the layer that `head` names. It is MAML with the body at inner rate 0, and takes no
gradient by the body in the inner loop. Departure: α is a rate on the mean loss, as in `MAML`.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.optimizers import InnerOptimizerSpec
from fewstep.inner.query_gradient import query_gradient
from fewstep.inner.settings import check_order, check_steps, last_alone
from fewstep.inner.sgd import SGD
from fewstep.inner.support_step import support_step
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class ANIL:
    """Almost no inner loop: the head alone is adapted."""

    makes_head: ClassVar[bool] = False
    head: str | None = None
    """dotted name of the layer to adapt; none: the last linear one"""
    inner_lr: float
    """inner learning rate α of the head, on the mean loss"""
    inner_steps: int = 1
    """inner steps in training"""
    order: Literal[1, 2] = 2
    """derivative order: 2, or 1 for the first-order approximation"""
    optimizer: InnerOptimizerSpec = field(default_factory=SGD)
    """the inner optimizer"""

    def __post_init__(self) -> None:
        check_steps(self.inner_steps)
        check_order(self.order)

    def order_at(self, update: int) -> Literal[1, 2]:
        """The derivative order of outer update `update`: the same for all."""
        return self.order

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss after the last inner step alone."""
        return last_alone(self.inner_steps)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built. Raises `ValueError` for a net without a head."""
        if not model.head_names:
            raise ValueError("ANIL adapts the head, and the net has no linear layer that learns: set algorithm.head")
        return Meta({"theta": model.parameters()}, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ."""
        theta = meta.learned["theta"]
        return Inner(theta, self.optimizer.init({name: theta[name] for name in model.head_names}))

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """One step of the head."""
        rates = dict.fromkeys(model.head_names, self.inner_lr)
        return support_step(model, inner, support, self.optimizer, rates, order=self.order)

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇_θ L_query(φ_S(θ)), by body and head."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))
