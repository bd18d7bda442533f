"""Prototypical networks (Snell, Swersky, Zemel 2017, arXiv:1703.05175, Alg. 1).

Learn an embedding f in which a query belongs to the class whose mean is nearest; nothing is adapted by gradients:
c_k = mean of f(x) over the support examples of class k,  p(k | x) = softmax_k(−‖f(x) − c_k‖² / τ),
θ ← θ − β ∇_θ mean over tasks of L_query.

−‖f − c‖² is linear in f up to −‖f‖², which all classes share: weight 2c/τ and bias −‖c‖²/τ of a linear head give the
same probabilities (section 2.4). So φ is the user's own net with a head of as many ways as the support set has.
Departure: a temperature τ; the paper's is 1.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.embedded import body_of, check_linear, embedded, one_hot, prototype_head
from fewstep.inner.query_gradient import query_gradient
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class ProtoNet:
    """Prototypical networks; tasks may have any number of ways."""

    makes_head: ClassVar[bool] = True
    inner_steps: ClassVar[int] = 0
    head: str | None = None
    """the dotted name of the net's head, which the support set makes; None: the last nn.Linear"""
    temperature: float = 1.0
    """τ, which divides squared distances"""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature}: expected more than 0")

    def order_at(self, update: int) -> Literal[2]:
        """The whole derivative: prototypes are functions of θ too."""
        return 2

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss, under the head that is made at once."""
        return (1.0,)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ: the net's body as it was built.

        Raises `ValueError` for a regression, or a head that is not linear.
        """
        theta = body_of(model)
        check_linear(model)
        return Meta({"theta": theta}, model.statistics(0))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """The body, and a head of the classes' means (Alg. 1, line 6)."""
        features = embedded(model, meta, support)
        head = prototype_head(model, features, one_hot(model, support, features), self.temperature)
        return Inner({**meta.learned["theta"], **head}, {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """Nothing further: the head is made at once."""
        return inner

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇_θ L_query, through the prototypes (Alg. 1, lines 8 to 13)."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))
