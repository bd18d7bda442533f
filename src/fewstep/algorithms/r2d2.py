"""R2D2, ridge regression differentiation discriminator (Bertinetto, Henriques, Torr, Vedaldi 2019, arXiv:1805.08136).

Learn an embedding in which ridge regression onto one-hot labels, solved in closed form, tells the classes apart:
W = argmin ‖XW − Y‖² + λ‖W‖² = Xᵀ(XXᵀ + λI)⁻¹Y,  logits = α f(x) W  (eq. 4 to 7),
θ, λ, α ← by the gradient of L_query through the solution.

X are the support set's embeddings, one a row. The form above (Woodbury's) inverts a matrix as large as the support
set; where that has more examples than features, (XᵀX + λI)⁻¹XᵀY is taken, which is the same. φ is the user's own net
with α Wᵀ for the weight of its head.
Departures: λ and α are learned as logarithms, which keeps them positive; the paper's shift β of the logits, one number
for all classes, is left out: a softmax does not see it, so it has no gradient.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.inner.embedded import body_of, check_linear, embedded, linear_head, one_hot
from fewstep.inner.query_gradient import query_gradient
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class R2D2:
    """A closed-form ridge head; tasks may have any number of ways."""

    makes_head: ClassVar[bool] = True
    inner_steps: ClassVar[int] = 0
    head: str | None = None
    """the dotted name of the net's head, which the support set makes; None: the last nn.Linear"""
    ridge: float = 1.0
    """λ at the start of training, which learns it"""
    scale: float = 10.0
    """α at the start of training, which learns it"""

    def __post_init__(self) -> None:
        if not min(self.ridge, self.scale) > 0:
            raise ValueError(f"ridge={self.ridge}, scale={self.scale}: expected more than 0")

    def order_at(self, update: int) -> Literal[2]:
        """The whole derivative: the solution is a function of θ too."""
        return 2

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss, under the head that is made at once."""
        return (1.0,)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ: the net's body as it was built; log λ and log α.

        Raises `ValueError` for a regression, or a head that is not linear.
        """
        theta = body_of(model)
        check_linear(model)
        like = next(iter(theta.values()))
        logarithms = {"log_ridge": self.ridge, "log_scale": self.scale}
        solver = {name: like.new_tensor(math.log(value)) for name, value in logarithms.items()}
        return Meta({"theta": theta, "solver": solver}, model.statistics(0))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """The body, and the ridge regression's solution for a head."""
        solver = meta.learned["solver"]
        features = embedded(model, meta, support)
        labels = one_hot(model, support, features)
        weight = solver["log_scale"].exp() * ridge_solution(features, labels, solver["log_ridge"].exp()).mT
        bias = torch.zeros_like(weight[:, 0])
        return Inner({**meta.learned["theta"], **linear_head(model, weight, bias)}, {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """Nothing further: the head is made at once."""
        return inner

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇ L_query by θ, log λ and log α, through the solution."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))


def ridge_solution(features: Tensor, targets: Tensor, ridge: Tensor) -> Tensor:
    """W `[F, ways]` for `features: [N, F]`, `targets: [N, ways]`: by the smaller of both systems."""
    examples, width = features.shape
    identity = torch.eye(min(examples, width), dtype=features.dtype, device=features.device)
    if examples < width:
        dual: Tensor = torch.linalg.solve(features @ features.mT + ridge * identity, targets)
        return features.mT @ dual
    solution: Tensor = torch.linalg.solve(features.mT @ features + ridge * identity, features.mT @ targets)
    return solution
