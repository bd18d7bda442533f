"""Reptile (Nichol, Achiam, Schulman 2018, arXiv:1803.02999, Alg. 1 and 2; supervised-reptile).

Train on a task for k steps, then move the initialisation towards where that ended; no second derivative, no queries:
θ ← θ + ε mean over tasks of (φ_k − θ). The outer step is plain SGD at rate ε on the direction θ − φ_k, annealed to 0
linearly; one task an update is the serial Alg. 1, more are the batched Alg. 2.

Mini-batches read the support set in fixed permutations of it, another one each pass; the tasks of a recipe come in
random order. Departure: where an optimizer's state persists across the tasks of one update, each starts from the same
state and the mean of theirs is kept; the official code runs them one after another. With one task an update that is
the same.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.algorithm import Algorithm
from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task
from fewstep.differentiation import grad
from fewstep.inner.adam import Adam
from fewstep.inner.loop import inner_states
from fewstep.inner.optimizers import InnerOptimizerSpec
from fewstep.inner.rates import RateGroups, rates_of
from fewstep.inner.settings import last_alone
from fewstep.model import Model
from fewstep.tasks.shuffled import shuffled
from fewstep.tasks.splits import Splits

SLOT = "slots."
"""What the groups of `Meta.state` that hold the inner optimizer's slots are called by."""


@dataclass(frozen=True, kw_only=True)
class Reptile:
    """Reptile, and first-order MAML from the same trajectory."""

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    inner_lr: float = 1e-3
    """inner learning rate, on the mean loss"""
    inner_steps: int = 5
    """inner steps in training, k"""
    inner_batch: int | None = 10
    """examples of a mini-batch, drawn without replacement; None: the whole support set"""
    optimizer: InnerOptimizerSpec = field(default_factory=lambda: Adam(beta1=0.0))
    """the inner optimizer"""
    inner_lr_of: RateGroups = ()
    """rates of their own for parameters whose names start so: head. 0.1"""
    persistent_slots: bool = True
    """keep the inner optimizer's state from task to task, as the official code does"""
    direction: Literal["reptile", "foml"] = "reptile"
    """reptile: θ − φ_k; foml: the last step alone, φ_{k−1} − φ_k, which is first-order MAML"""

    def __post_init__(self) -> None:
        if self.inner_steps < 1:
            raise ValueError(
                f"inner_steps={self.inner_steps}: Reptile moves towards where steps lead, expected 1 or more"
            )
        if self.inner_batch is not None and self.inner_batch < 1:
            raise ValueError(f"inner_batch={self.inner_batch}: expected 1 or more, or none for the whole support set")
        if self.direction not in ("reptile", "foml"):
            raise ValueError(f"direction={self.direction!r}: expected 'reptile' or 'foml'")

    def order_at(self, update: int) -> None:
        """None: θ − φ_k is no gradient of the query loss."""
        return

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """What is logged: the query loss after the last inner step."""
        return last_alone(self.inner_steps)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built, and the inner optimizer's slots where they persist."""
        theta = model.parameters()
        rates_of(theta, self.inner_lr, self.inner_lr_of)  # a group that fits no name is an error now, not later
        slots = self._kept(self.optimizer.init(theta)) if self.persistent_slots else {}
        return Meta({"theta": theta}, {**model.statistics(self.inner_steps), **slots})

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """φ_0 = θ."""
        theta = meta.learned["theta"]
        if not self.persistent_slots:
            return Inner(theta, self.optimizer.init(theta))
        kept = {name.removeprefix(SLOT): slot for name, slot in meta.state.items() if name.startswith(SLOT)}
        return Inner(theta, kept)

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """One step of the inner optimizer on mini-batch i."""
        batch = support if self.inner_batch is None else mini_batch(support, i, self.inner_batch)
        gradient = grad(model.support_loss, inner.phi, batch)
        return self.optimizer.step(inner, gradient, rates_of(inner.phi, self.inner_lr, self.inner_lr_of))

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at φ."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """θ − φ_k; the queries are predicted for the log alone."""
        with torch.no_grad():
            path = inner_states(self, model, meta, task.support, self.inner_steps)
            before, after = path[-2 if self.direction == "foml" else 0].phi, path[-1].phi
            towards = {name: before[name] - after[name] for name in after}
            phi = model.settle(after, task.support.x, meta.state, self.inner_steps)
            logits = self.predict(model, phi, task.query.x)
            state = model.accumulated(meta.state, [inner.phi for inner in path], task.query.x)
            slots = self._kept(path[-1].slots) if self.persistent_slots else {}
            return MetaGradient({"theta": towards}, {**state, **slots}, model.loss(logits, task.query.y), logits)

    @staticmethod
    def _kept(slots: dict[str, Params]) -> dict[str, Params]:
        return {SLOT + name: slot for name, slot in slots.items()}


def read_in_batches(splits: Splits, algorithm: Algorithm) -> Splits:
    """The tasks with support sets in random order where `algorithm` reads them in mini-batches, else as they are."""
    in_batches = isinstance(algorithm, Reptile) and algorithm.inner_batch is not None
    return shuffled(splits) if in_batches else splits


def mini_batch(support: Examples, i: int, size: int) -> Examples:
    """Examples `i · size` to `(i + 1) · size` of the support set repeated, every pass in another fixed order."""
    chosen = [_in_pass(len(support.x), position) for position in range(i * size, (i + 1) * size)]
    return Examples(support.x[chosen], support.y[chosen])


def _in_pass(count: int, position: int) -> int:
    return _permutation(count, position // count)[position % count]


@cache
def _permutation(count: int, number: int) -> list[int]:
    order: list[int] = seeding.numpy_generator(0, "reptile/pass", number).permutation(count).tolist()
    return order
