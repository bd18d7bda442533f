"""Baseline++ (Chen, Liu, Kira, Wang, Huang 2019, "A Closer Look at Few-shot Classification", arXiv:1904.04232, 3.2).

No meta-learning: one classifier of all training classes is trained in mini-batches, then a head alone for each task.
Pre-training: θ, V ← by the gradient of the cross-entropy of s · cos(f_θ(x), v_c), c the class of x in the split.
Adaptation: θ stays, w_k ← w_k − α ∇ of the mean cross-entropy of s · cos(f_θ(x), w_k) over the support set.

A mini-batch is the queries of a training task: `ways` classes, `queries` images of each, labelled by class.
Departures: heads start from the classes' mean directions in place of random numbers, and every step takes the whole
support set in place of 4 of it, so that nothing is drawn at test; no momentum or weight decay in these steps; weights
have no learned length beside the scale s.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewstep.algorithm import Algorithm
from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.differentiation import grad, vjp
from fewstep.inner.embedded import body_of, embedded, embedded_queries, one_hot
from fewstep.inner.sgd import SGD
from fewstep.model import Model
from fewstep.nets.heads import cosines
from fewstep.tasks.class_ids import with_class_ids
from fewstep.tasks.splits import Splits


@dataclass(frozen=True, kw_only=True)
class BaselinePlusPlus:
    """Pre-training of one cosine classifier, then a cosine head a task; tasks may have any number of ways."""

    makes_head: ClassVar[bool] = True
    inner_steps: ClassVar[int] = 0
    head: str | None = None
    """the dotted name of the net's head, which a cosine head takes the place of; None: the last nn.Linear"""
    scale: float = 10.0
    """s, which multiplies cosines"""
    head_lr: float = 0.01
    """α, at which a task's head is fitted, on the mean loss"""
    head_steps: int = 100
    """steps in which it is"""

    def __post_init__(self) -> None:
        if not self.scale > 0 or self.head_steps < 0:
            raise ValueError(f"expected scale > 0 and head_steps ≥ 0, got {self.scale} and {self.head_steps}")

    def order_at(self, update: int) -> None:
        """None: pre-training is no gradient of the query loss."""
        return

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """Pre-training has one loss."""
        return (1.0,)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ: the net's body as it was built; a weight `[C, F]` for every training class, at random.

        C are the model's `ways` at hand, else the outputs of the net's own head. Raises `ValueError` for a regression,
        or a head that is not linear.
        """
        theta, own = body_of(model), model.net.get_submodule(str(model.head))
        if not isinstance(own, nn.Linear):
            raise ValueError(f"a cosine head takes the place of an nn.Linear, and '{model.head}' is {own}")
        shape = (model.ways or own.out_features, own.in_features)
        weight = torch.randn(shape, generator=generator).to(own.weight) / own.in_features**0.5
        return Meta({"theta": theta, "classifier": {"weight": weight}}, model.statistics(0))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """The body, and a cosine head fitted to the support set."""
        features = embedded(model, meta, support)
        scale = features.new_full((), self.scale)

        def loss(head: Params) -> Tensor:
            return model.loss(scale * cosines(features, head["weight"]), support.y)

        sums = one_hot(model, support, features).mT @ F.normalize(features, dim=-1)
        inner = Inner({"weight": F.normalize(sums, dim=-1)}, {})
        for _ in range(self.head_steps):
            inner = SGD().step(inner, grad(loss, inner.phi), {"weight": self.head_lr})
        head = {f"{model.head}.weight": inner.phi["weight"], f"{model.head}.scale": scale}
        return Inner({**meta.learned["theta"], **head}, {})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """Nothing further: the head is fitted at once."""
        return inner

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """Scaled cosines `[M, ways]`."""
        return phi[f"{model.head}.scale"] * cosines(embedded_queries(model, phi, x), phi[f"{model.head}.weight"])

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇ of the loss of a mini-batch, the queries, by θ and by the classifier of all training classes."""
        embedding = model.embedding
        assert embedding is not None

        def loss(learned: dict[str, Params]) -> tuple[Tensor, Tensor]:
            features = embedding.support_outputs(learned["theta"], task.query.x)
            logits = self.scale * cosines(features, learned["classifier"]["weight"])
            return model.loss(logits, task.query.y), logits

        value, pull_back, logits = vjp(loss, meta.learned)
        gradient: dict[str, Params] = pull_back(torch.ones_like(value))
        return MetaGradient(
            gradient, model.accumulated(meta.state, [meta.learned["theta"]], task.query.x), value, logits
        )


def pretraining_on_classes(splits: Splits, algorithm: Algorithm) -> Splits:
    """The tasks, those of training labelled by class of the split where `algorithm` pre-trains, else as they are.

    Raises `ValueError` where it does and these tasks are not drawn from classes.
    """
    return with_class_ids(splits) if isinstance(algorithm, BaselinePlusPlus) else splits
