"""ProtoMAML (Triantafillou et al. 2020, "Meta-Dataset", arXiv:1903.03096, section 3), in second and first order.

MAML whose linear head starts, in every task, where a prototypical network ends:
φ_0 = (θ, W = 2c_k, b = −‖c_k‖²) with c_k the mean embedding of class k,
φ_{i+1} = φ_i − α ∇L_support(φ_i),  θ ← θ − β ∇_θ mean over tasks of L_query(φ_S).

The gradient flows through the prototypes in either order, as in the paper: first order leaves out the derivative of
the inner gradients alone. No inner step is ProtoNet. The inner loss is a mean over examples.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.embedded import body_of, check_linear, embedded, one_hot, prototype_head
from fewstep.inner.query_gradient import query_gradient
from fewstep.inner.rates import RateGroups, rates_of
from fewstep.inner.settings import check_order, check_steps, last_alone
from fewstep.inner.sgd import SGD
from fewstep.inner.support_step import support_step
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class ProtoMAML:
    """MAML from a head of prototypes; tasks may have any number of ways."""

    makes_head: ClassVar[bool] = True
    head: str | None = None
    """the dotted name of the net's head, which starts from prototypes; None: the last nn.Linear"""
    inner_lr: float
    """inner learning rate α, on the mean loss"""
    inner_steps: int = 1
    """inner steps in training"""
    order: Literal[1, 2] = 2
    """derivative order: 2, or 1 for first-order ProtoMAML"""
    inner_lr_of: RateGroups = ()
    """rates of their own for parameters whose names start so: head. 0.1"""

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
        """θ: the net's body as it was built.

        Raises `ValueError` for a regression, or a head that is not linear.
        """
        theta = body_of(model)
        check_linear(model)
        rates_of(model.names, self.inner_lr, self.inner_lr_of)  # a group that fits no name is an error now, not later
        return Meta({"theta": theta}, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0: the body, and the head of a prototypical network."""
        features = embedded(model, meta, support)
        head = prototype_head(model, features, one_hot(model, support, features))
        return Inner({**meta.learned["theta"], **head}, {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """φ_{i+1} from φ_i, body and head."""
        rates = rates_of(inner.phi, self.inner_lr, self.inner_lr_of)
        return support_step(model, inner, support, SGD(), rates, order=self.order)

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇_θ L_query(φ_S(θ)), through inner steps and prototypes."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))
