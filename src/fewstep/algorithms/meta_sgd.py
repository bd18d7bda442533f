"""Meta-SGD (Li, Zhou, Chen, Li 2017, arXiv:1707.03141, Alg. 1).

MAML that learns, beside the initialisation θ, a rate for every single parameter: how far to go and which way.
φ_{i+1} = φ_i − α ∘ ∇L_support(φ_i),  (θ, α) ← (θ, α) − β ∇_(θ, α) mean over tasks of L_query(φ_S).

α has the shapes of θ, starts uniformly at random in (0.005, 0.1), as quoted, and may become negative. Departures: the
paper takes one step, here α is the same for all steps; it is a rate on the mean loss.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.query_gradient import query_gradient
from fewstep.inner.settings import check_order, check_steps, last_alone
from fewstep.inner.sgd import SGD
from fewstep.inner.support_step import support_step
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class MetaSGD:
    """Learned initialisation, and learned rates of every parameter."""

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    least_inner_lr: float = 0.005
    """lower end of the range in which rates start, on the mean loss"""
    largest_inner_lr: float = 0.1
    """upper end of that range"""
    inner_steps: int = 1
    """inner steps in training"""
    order: Literal[1, 2] = 2
    """derivative order: 2, or 1, in which rates are learned too"""

    def __post_init__(self) -> None:
        check_steps(self.inner_steps, least=1)  # without a step no rate has a gradient
        check_order(self.order)
        if self.least_inner_lr > self.largest_inner_lr:
            raise ValueError(
                f"least_inner_lr={self.least_inner_lr} is above largest_inner_lr={self.largest_inner_lr}: expected a "
                f"range, or the same number twice"
            )

    def order_at(self, update: int) -> Literal[1, 2]:
        """The derivative order of outer update `update`: the same for all."""
        return self.order

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss after the last inner step alone."""
        return last_alone(self.inner_steps)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built, α drawn for every element of it."""
        theta, width = model.parameters(), self.largest_inner_lr - self.least_inner_lr
        rates = {
            name: (self.least_inner_lr + width * torch.rand(value.shape, generator=generator)).to(value)
            for name, value in theta.items()
        }
        return Meta({"theta": theta, "inner_lr": rates}, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ."""
        return Inner(meta.learned["theta"], {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """φ_{i+1} = φ_i − α ∘ ∇L_support(φ_i) (Alg. 1, line 6)."""
        return support_step(model, inner, support, SGD(), meta.learned["inner_lr"], order=self.order)

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇ L_query(φ_S(θ, α)) by θ and α (Alg. 1, line 9)."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))
