"""MAML++, "How to train your MAML" (Antoniou, Edwards, Storkey 2019, arXiv:1810.09502; HowToTrainYourMAMLPytorch).

MAML with six tips: the query loss after every inner step, weighted, early on (MSL); a learned inner rate for every
tensor and step (LSLR); first order early on (DOA); batch-norm statistics per step (BNRS: the norm policy `per_step`);
batch-norm weights and biases per step (BNWB); a cosine-annealed outer rate (CA: `training.schedule`).
θ ← θ − β ∇_θ mean over tasks of Σ_i w_i L_query(φ_i). With every tip off it is MAML, bit for bit.

Departures: the official statistics are accumulated and never read, which is the policy `transductive` here; test
steps beyond those of training reuse the last step's rates and rows.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.optimizer import Rates, row_at
from fewstep.inner.optimizers import InnerOptimizerSpec
from fewstep.inner.query_gradient import query_gradient
from fewstep.inner.rates import RateGroups, rates_of
from fewstep.inner.settings import check_order, check_steps, last_alone
from fewstep.inner.sgd import SGD
from fewstep.inner.support_step import support_step
from fewstep.model import Model

LEAST_SHARE = 0.03
"""Of 1/S: below it no step's weight falls while the multi-step loss is annealed (official code)."""


@dataclass(frozen=True, kw_only=True)
class MAMLPlusPlus:
    """MAML++; each tip is a field of its own."""

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    inner_lr: float
    """inner learning rate α, on the mean loss; where learned rates start"""
    inner_steps: int = 5
    """inner steps in training"""
    order: Literal[1, 2] = 2
    """derivative order, once any annealing is over"""
    optimizer: InnerOptimizerSpec = field(default_factory=SGD)
    """the inner optimizer"""
    inner_lr_of: RateGroups = ()
    """rates of their own for parameters whose names start so: head. 0.1"""
    learn_inner_lr: bool = False
    """LSLR: learn a rate for every parameter tensor and inner step"""
    multi_step_epochs: int = 0
    """MSL: epochs over which the query losses of all steps count, less and less"""
    first_order_epochs: int = 0
    """DOA: epochs in first order before the others"""
    per_step_norm: bool = False
    """BNWB: weights and biases of norms per step, learned by the outer loop only"""
    epoch: int = 500
    """outer updates an epoch"""
    recompute: bool = False
    """keep φ_i alone and compute every inner step again on the way back: memory for time, the same gradient"""

    def __post_init__(self) -> None:
        check_steps(self.inner_steps)
        check_order(self.order)
        if min(self.multi_step_epochs, self.first_order_epochs) < 0 or self.epoch < 1:
            raise ValueError(
                f"expected multi_step_epochs ≥ 0, first_order_epochs ≥ 0 and epoch ≥ 1, got {self.multi_step_epochs}, "
                f"{self.first_order_epochs} and {self.epoch}"
            )
        if self.inner_steps == 0 and (self.learn_inner_lr or self.per_step_norm or self.multi_step_epochs):
            raise ValueError("inner_steps=0 leaves no step to learn rates, norms or multi-step losses for")

    def order_at(self, update: int) -> Literal[1, 2]:
        """DOA: the derivative order of outer update `update`."""
        return 1 if update < self.first_order_epochs * self.epoch else self.order

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """MSL: the weight of the query loss after 0, 1, ..., S inner steps; they sum to 1."""
        steps, epoch, epochs = self.inner_steps, update // self.epoch, self.multi_step_epochs
        if epoch >= epochs:
            return last_alone(steps)
        early = max(1 / steps - epoch / (steps * epochs), LEAST_SHARE / steps)
        last = min(1 / steps + epoch * (steps - 1) / (steps * epochs), 1 - (steps - 1) * LEAST_SHARE / steps)
        return (0.0, *[early] * (steps - 1), last)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built, rates `[S]` at α, rows `[S, C]` of every norm as built."""
        theta, norms = model.parameters(), {}
        if self.per_step_norm:
            if not model.norm_names:
                raise ValueError("algorithm.per_step_norm: the net has no norm with weights; leave it off")
            norms = {name: theta.pop(name).repeat(self.inner_steps, 1) for name in model.norm_names}
        learned = {"theta": theta}
        rates = rates_of(theta, self.inner_lr, self.inner_lr_of)
        if self.learn_inner_lr:
            learned["inner_lr"] = {
                name: value.new_full((self.inner_steps,), rates[name]) for name, value in theta.items()
            }
        if norms:
            learned["norm"] = norms
        return Meta(learned, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ, with the first row of every norm."""
        theta = meta.learned["theta"]
        return Inner({**theta, **self._norms(meta, 0)}, self.optimizer.init(theta))

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """φ_{i+1} from φ_i, under row i of the norms, which is then in force for the queries too."""
        under_row = Inner({**inner.phi, **self._norms(meta, i)}, inner.slots)
        return support_step(model, under_row, support, self.optimizer, self._rates(meta, i), order=self.order)

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇ Σ_i w_i L_query(φ_i), each term split at its φ_i: one vector-Jacobian product for all."""
        now = dataclasses.replace(self, order=self.order_at(update), first_order_epochs=0)
        weights = self.loss_weights(update)
        return query_gradient(now, model, meta, task, weights, recompute=self.recompute)

    def _rates(self, meta: Meta, i: int) -> Rates:
        if self.learn_inner_lr:
            return row_at(meta.learned["inner_lr"], i)
        return rates_of(meta.learned["theta"], self.inner_lr, self.inner_lr_of)

    def _norms(self, meta: Meta, i: int) -> Params:
        return row_at(meta.learned["norm"], i) if self.per_step_norm else {}
