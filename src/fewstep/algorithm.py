"""What a meta-learning algorithm is: pure functions over named tensors, for one task at a time."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.model import Model


class Algorithm(Protocol):
    """A frozen dataclass of hyperparameters; everything else maps these functions over tasks."""

    @property
    def makes_head(self) -> bool:
        """Whether a task's support set makes the head, so that tasks may have any number of ways.

        `Model.embedding` and `Model.ways` are there for such; no head of the net itself is learned.
        """
        ...

    @property
    def head(self) -> str | None:
        """The dotted name of the net's head; None for the last `nn.Linear`."""
        ...

    @property
    def inner_steps(self) -> int:
        """How many inner steps training takes."""
        ...

    def order_at(self, update: int) -> Literal[1, 2] | None:
        """The derivative order of `meta_gradient` at outer update `update`; None where it is no loss's gradient."""
        ...

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The weights of the query losses after 0, 1, ..., S inner steps in the outer loss of `update`."""
        ...

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """What meta-training starts from."""
        ...

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """The inner loop before its first step."""
        ...

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """Inner step `i`, counted from 0."""
        ...

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """Logits `[M, ways]`, or values `[M, D]`, at settled parameters `phi`."""
        ...

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """One task's contribution to outer update `update`, counted from 0.

        `update` counts by `order_at` and `loss_weights` alone: where these are the same, so is this.
        """
        ...
