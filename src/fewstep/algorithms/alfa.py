"""ALFA, adaptive learning of hyperparameters for fast adaptation (Baik et al. 2020, arXiv:2011.00209, Alg. 1).

A small network reads how the inner loop fares and sets the rate and the weight decay of every layer at every step.
τ_i = [mean of every tensor of θ_i, mean of its gradient],  (â, b̂) = g_ψ(τ_i), two numbers a tensor,
θ_{i+1} = β_i ∘ θ_i − α_i ∘ ∇L_support(θ_i),  α_i = â · a_i,  β_i = 1 − b̂ · b_i;
(θ, a, b, ψ) are learned by the gradient of L_query(θ_S). a_i and b_i are numbers per step and tensor that start at
`inner_lr` and `inner_lr · weight_decay`. g_ψ is linear, ReLU, linear, as wide as τ.

Departures: the last bias of g_ψ starts at 1, so that training starts near MAML, where the official code draws it around
0; test steps beyond those of training reuse the last step's numbers; α is a rate on the mean loss.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.optimizer import row_at
from fewstep.inner.query_gradient import query_gradient
from fewstep.inner.settings import check_steps, last_alone
from fewstep.inner.support_step import support_gradient
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class ALFA:
    """MAML whose rates and weight decays a learned network sets anew at every inner step."""

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    inner_lr: float
    """where the learned rates of every step and tensor start, on the mean loss"""
    inner_steps: int = 5
    """inner steps in training"""
    weight_decay: float = 5e-4
    """where the learned weight decays start, as a share of the rates"""

    def __post_init__(self) -> None:
        check_steps(self.inner_steps, least=1)  # without a step nothing but θ has a gradient

    def order_at(self, update: int) -> Literal[2]:
        """Second order, as in the paper."""
        return 2

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss after the last inner step alone."""
        return last_alone(self.inner_steps)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built, rates and decays `[S]` a tensor, ψ drawn as `nn.Linear` draws it."""
        theta = model.parameters()
        width, steps, like = 2 * len(theta), self.inner_steps, next(iter(theta.values()))
        bound: float = width**-0.5

        def drawn(*shape: int) -> Tensor:
            return (bound * (2 * torch.rand(shape, generator=generator) - 1)).to(like)

        learned = {
            "theta": theta,
            "inner_lr": {name: value.new_full((steps,), self.inner_lr) for name, value in theta.items()},
            "decay": {
                name: value.new_full((steps,), self.inner_lr * self.weight_decay) for name, value in theta.items()
            },
            "generator": {
                "hidden.weight": drawn(width, width),
                "hidden.bias": drawn(width),
                "output.weight": drawn(width, width),
                "output.bias": like.new_ones(width),
            },
        }
        return Meta(learned, model.statistics(steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """θ_0 = θ."""
        return Inner(meta.learned["theta"], {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """θ_{i+1} = β_i ∘ θ_i − α_i ∘ ∇L_support(θ_i) (Alg. 1, lines 6 to 10)."""
        phi = inner.phi
        gradient = support_gradient(model, phi, support, phi, order=2)
        state = torch.stack([value.mean() for part in (phi, gradient) for value in part.values()])
        to_rate, to_decay = _generated(meta.learned["generator"], state).view(2, -1)
        rates, decays = (row_at(meta.learned[group], i) for group in ("inner_lr", "decay"))
        return inner._replace(
            phi={
                name: (1 - to_decay[layer] * decays[name]) * value - to_rate[layer] * rates[name] * gradient[name]
                for layer, (name, value) in enumerate(phi.items())
            }
        )

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at the adapted parameters."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇ L_query(θ_S) by all that is learned (Alg. 1, line 13)."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))


def _generated(psi: Params, state: Tensor) -> Tensor:
    """g_ψ(τ): a factor of every tensor's rate, then one of every tensor's decay."""
    hidden = F.relu(F.linear(state, psi["hidden.weight"], psi["hidden.bias"]))
    return F.linear(hidden, psi["output.weight"], psi["output.bias"])
