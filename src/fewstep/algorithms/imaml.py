"""iMAML, meta-learning with implicit gradients (Rajeswaran, Finn, Kakade, Levine 2019, arXiv:1909.04630, Alg. 1 and 2).

Hold φ near θ by a proximal term and solve the inner problem well; its solution's derivative then needs no path:
φ* = argmin_φ L_support(φ) + λ/2 ‖φ − θ‖²,  θ ← θ − β mean over tasks of (I + H/λ)⁻¹ ∇L_query(φ*),
H = ∇²L_support(φ*). φ* is approached by gradient descent, the linear equation solved by conjugate gradients with
Hessian-vector products, so that memory does not grow with the inner steps.

The official code solves ((1 + 1) I + H/(λ + 10)) x = ∇L_query instead: `identity_damping=1, hessian_damping=10`.
Departures: every inner step descends the proximal loss, where that code adds one step on its second term at the end; λ
is on the mean loss and is not learned. A loop of one's own over `Learner.adapt` is differentiated step by step.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.differentiation import grad_with_aux, hessian_product
from fewstep.inner.conjugate_gradient import conjugate_gradient
from fewstep.inner.settings import check_steps, last_alone
from fewstep.inner.support_step import support_gradient
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class IMAML:
    """Implicit MAML: the meta-gradient where the inner loop ends, whatever the way there."""

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    inner_lr: float
    """inner learning rate α, on the mean loss"""
    inner_steps: int = 16
    """inner steps in training"""
    regularization: float = 2.0
    """λ: how strongly φ is held near θ"""
    cg_steps: int = 5
    """steps of conjugate gradient; 0 leaves the gradient at φ as it is"""
    identity_damping: float = 0.0
    """added to the identity; 1 in the official code"""
    hessian_damping: float = 0.0
    """added to λ where it divides the Hessian; 10 in the official code"""

    def __post_init__(self) -> None:
        check_steps(self.inner_steps, least=1)
        if self.regularization <= 0:
            raise ValueError(f"regularization={self.regularization}: expected a positive λ")
        if self.cg_steps < 0 or min(self.identity_damping, self.hessian_damping) < 0:
            raise ValueError(
                f"expected cg_steps, identity_damping and hessian_damping ≥ 0, got {self.cg_steps}, "
                f"{self.identity_damping} and {self.hessian_damping}"
            )

    def order_at(self, update: int) -> None:
        """None: the gradient is that at the minimum, which a number of inner steps only comes near."""
        return

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss after the last inner step alone."""
        return last_alone(self.inner_steps)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built."""
        return Meta({"theta": model.parameters()}, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ."""
        return Inner(meta.learned["theta"], {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """φ_{i+1} = φ_i − α (∇L_support(φ_i) + λ (φ_i − θ)) (Alg. 2, line 4)."""
        theta, phi = meta.learned["theta"], inner.phi
        gradient = support_gradient(model, phi, support, phi, order=2)
        return inner._replace(
            phi={
                name: value - self.inner_lr * (gradient[name] + self.regularization * (value - theta[name]))
                for name, value in phi.items()
            }
        )

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """(I + H/λ)⁻¹ ∇L_query(φ_S) (Alg. 2, lines 5 and 6)."""
        inner = self.start(model, meta, task.support)
        path = [inner.phi]
        with torch.no_grad():
            for i in range(self.inner_steps):
                inner = self.step(model, meta, inner, task.support, i)
                path = [*path, inner.phi] if model.accumulates else [inner.phi]

        def query_loss(phi: Params) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            settled = model.settle(phi, task.support.x, meta.state, self.inner_steps)
            logits = self.predict(model, settled, task.query.x)
            loss = model.loss(logits, task.query.y)
            return loss, (loss, logits)

        gradient, (loss, logits) = grad_with_aux(query_loss, inner.phi)
        theta = self._solved(model, inner.phi, task.support, gradient)
        return MetaGradient({"theta": theta}, model.accumulated(meta.state, path, task.query.x), loss, logits)

    def _solved(self, model: Model, phi: Params, support: Examples, gradient: Params) -> Params:
        """x with ((1 + identity_damping) I + H / (λ + hessian_damping)) x = gradient."""
        if self.cg_steps == 0:
            return gradient
        hessian = hessian_product(model.support_loss, phi, support)

        def product(v: Params) -> Params:
            curved, divisor = hessian(v), self.regularization + self.hessian_damping
            return {name: (1 + self.identity_damping) * value + curved[name] / divisor for name, value in v.items()}

        return conjugate_gradient(product, gradient, self.cg_steps)
