"""Meta-MinibatchProx (Zhou, Yuan, Xu, Yan, Feng, NeurIPS 2019, Alg. 1).

"Efficient Meta Learning via Minibatch Proximal Update": solve each task held
near θ, then move θ towards the solution; no second derivative, no query loss:
φ* = argmin_φ L(φ) + λ/2 ‖φ − θ‖²,  L over the task's support set,
θ ← θ − η λ mean over tasks of (θ − φ*).

λ (θ − φ*) is exactly the gradient of that minimum by θ (the envelope theorem).
Departure: φ* is approached by a fixed number of steps of gradient descent; the
paper asks for a solution up to an error that its theory bounds.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.differentiation import grad
from fewstep.inner.loop import inner_states
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class MinibatchProx:
    """Meta-learning by proximal updates."""

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    inner_lr: float
    """inner learning rate, on the mean loss"""
    inner_steps: int = 5
    """inner steps in training"""
    regularization: float = 1.0
    """λ: how strongly φ is held near θ"""

    def __post_init__(self) -> None:
        if self.inner_steps < 1 or self.regularization <= 0:
            given = f"inner_steps={self.inner_steps}, λ={self.regularization}"
            raise ValueError(f"{given}: expected 1 or more, and λ > 0")

    def order_at(self, update: int) -> None:
        """None: the meta-gradient is not that of the query loss."""
        return

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """What is logged: the query loss after the last inner step."""
        return (0.0,) * self.inner_steps + (1.0,)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built."""
        return Meta(
            {"theta": model.parameters()}, model.statistics(self.inner_steps)
        )

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ."""
        return Inner(meta.learned["theta"], {})

    def step(
        self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int
    ) -> Inner:
        """One step down L(φ) + λ/2 ‖φ − θ‖²."""
        theta, phi = meta.learned["theta"], inner.phi
        slope = grad(model.support_loss, phi, support)
        stepped = {}
        for name, value in phi.items():
            towards = slope[name] + self.regularization * (value - theta[name])
            stepped[name] = value - self.inner_lr * towards
        return Inner(stepped, {})

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(
        self, model: Model, meta: Meta, task: Task, update: int
    ) -> MetaGradient:
        """λ (θ − φ*); the queries are predicted for the log alone."""
        with torch.no_grad():
            path = inner_states(
                self, model, meta, task.support, self.inner_steps
            )
            theta, solved = meta.learned["theta"], path[-1].phi
            gradient = {
                name: self.regularization * (value - solved[name])
                for name, value in theta.items()
            }
            phi = model.settle(
                solved, task.support.x, meta.state, self.inner_steps
            )
            logits = self.predict(model, phi, task.query.x)
            state = model.accumulated(
                meta.state, [inner.phi for inner in path], task.query.x
            )
            return MetaGradient(
                {"theta": gradient},
                state,
                model.loss(logits, task.query.y),
                logits,
            )
