"""MAML in second and first order (Finn, Abbeel, Levine 2017, arXiv:1703.03400, Alg. 2).

Learn an initialisation θ from which a few gradient steps on a task's support set give a good φ:
φ_{i+1} = φ_i − α ∇L_support(φ_i),  θ ← θ − β ∇_θ mean over tasks of L_query(φ_S).

The meta-gradient is split at φ: the query gradient at φ is first-order, one vector-Jacobian product pulls it back
through the inner loop. Departure: α is a rate on the mean loss; the official code's loss is `ways` times that.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.optimizer import Rates
from fewstep.inner.optimizers import InnerOptimizerSpec
from fewstep.inner.query_gradient import query_gradient
from fewstep.inner.rates import RateGroups, rates_of
from fewstep.inner.settings import check_order, check_steps, last_alone
from fewstep.inner.sgd import SGD
from fewstep.inner.support_step import support_step
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class MAML:
    """Model-agnostic meta-learning.

    First order (FOMAML) detaches the inputs of every inner gradient: no second derivative is taken, while learned
    inner learning rates still get their gradient.
    """

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    inner_lr: float
    """inner learning rate α, on the mean loss"""
    inner_steps: int = 1
    """inner steps in training"""
    order: Literal[1, 2] = 2
    """derivative order: 2, or 1 for first-order MAML"""
    optimizer: InnerOptimizerSpec = field(default_factory=SGD)
    """the inner optimizer"""
    learn_inner_lr: bool = False
    """learn an inner rate per parameter tensor, from inner_lr on"""
    inner_lr_of: RateGroups = ()
    """rates of their own for parameters whose names start so: head. 0.1"""
    recompute: bool = False
    """keep φ_i alone and compute every inner step again on the way back: memory for time, the same gradient"""

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
        """θ as the net was built."""
        theta = model.parameters()
        learned, rates = {"theta": theta}, rates_of(theta, self.inner_lr, self.inner_lr_of)
        if self.learn_inner_lr:
            learned["inner_lr"] = {name: value.new_tensor(rates[name]) for name, value in theta.items()}
        return Meta(learned, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ."""
        theta = meta.learned["theta"]
        return Inner(theta, self.optimizer.init(theta))

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """φ_{i+1} from φ_i (Alg. 2, lines 5 to 7)."""
        return support_step(model, inner, support, self.optimizer, self._rates(meta), order=self.order)

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇_θ L_query(φ_S(θ)) (Alg. 2, line 10)."""
        weights = self.loss_weights(update)
        return query_gradient(self, model, meta, task, weights, recompute=self.recompute)

    def _rates(self, meta: Meta) -> Rates:
        if self.learn_inner_lr:
            return meta.learned["inner_lr"]
        return rates_of(meta.learned["theta"], self.inner_lr, self.inner_lr_of)
