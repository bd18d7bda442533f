"""BOIL, body only update in inner loop (Oh, Yoo, Kim, Yun 2021, arXiv:2008.08882, section 3).

MAML whose inner loop adapts everything but the head, so that the embedding must change for a task, not just be reused.
φ_{i+1}^body = φ_i^body − α ∇_body L_support(φ_i),  φ^head = θ^head,
θ ← θ − β ∇_θ mean over tasks of L_query(φ_S).

The head is the last `nn.Linear`, or the layer that `head` names. It is MAML with the head at inner rate 0.
Departure: α is a rate on the mean loss, as in `MAML`.
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
class BOIL:
    """Body only update in inner loop: all but the head is adapted."""

    makes_head: ClassVar[bool] = False
    head: str | None = None
    """dotted name of the layer to leave as it is; none: the last linear one"""
    inner_lr: float
    """inner learning rate α of the body, on the mean loss"""
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
        """θ as the net was built. Raises `ValueError` for a net without a head, or without a body."""
        if not model.head_names or not _body(model):
            raise ValueError(
                "BOIL adapts all but the head, and the net needs both: a linear layer, or algorithm.head, and layers "
                f"before it; its parameters are {', '.join(model.names)}"
            )
        return Meta({"theta": model.parameters()}, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ."""
        theta = meta.learned["theta"]
        return Inner(theta, self.optimizer.init({name: theta[name] for name in _body(model)}))

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """One step of the body."""
        rates = dict.fromkeys(_body(model), self.inner_lr)
        return support_step(model, inner, support, self.optimizer, rates, order=self.order)

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇_θ L_query(φ_S(θ)), by body and head."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))


def _body(model: Model) -> list[str]:
    return [name for name in model.names if name not in model.head_names]
