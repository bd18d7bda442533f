"""Meta-training as a generator of progress: it samples, maps, averages and steps, and does nothing else."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fewstep.core import Meta, MetaGradient, Task, map_tensors, tensors_of
from fewstep.divergence import DivergedError, advice, are_finite
from fewstep.evaluation import laid_out, score
from fewstep.learner import Learner
from fewstep.mapping import Workers
from fewstep.model import Model
from fewstep.tasks.splits import Tasks


@dataclass(frozen=True, kw_only=True)
class Training:
    """The outer loop: one optimizer over everything learned."""

    updates: int = 2000
    """outer updates"""
    meta_batch: int = 32
    """tasks an update"""
    lr: float = 1e-3
    """outer learning rate"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """the outer optimizer; sgd is Reptile's, at the rate ε"""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """constant, or annealed to final_lr by a cosine or a straight line"""
    final_lr: float = 1e-5
    """where the annealing ends"""
    clip_value: float | None = None
    """clamp every element of the meta-gradient to ± this"""
    clip_norm: float | None = None
    """bound the meta-gradient's global norm by this"""
    validate_every: int = 100
    """updates between validations, which select what is tested"""
    validation_tasks: int = 200
    """tasks of a validation: a fixed, seeded list"""
    checkpoint_every: int = 100
    """updates between checkpoints"""

    def __post_init__(self) -> None:
        for name in ("updates", "meta_batch", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name}={getattr(self, name)}: expected 1 or more")
        if self.validation_tasks < 2:
            raise ValueError(f"training.validation_tasks={self.validation_tasks}: expected 2 or more")
        for name, known in (("schedule", ("constant", "cosine", "linear")), ("optimizer", ("adam", "sgd"))):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"training.{name}={value!r}: expected one of {', '.join(map(repr, known))}")

    def rate(self, update: int) -> float:
        """The outer learning rate of `update`, counted from 0."""
        if self.schedule == "constant":
            return self.lr
        share = update / self.updates
        left = 1 - share if self.schedule == "linear" else (1 + math.cos(math.pi * share)) / 2
        return self.final_lr + (self.lr - self.final_lr) * left


class Progress(NamedTuple):
    """What one update did; `update` counts from 1. `score` is the mean query accuracy (or error) over the tasks."""

    update: int
    loss: float
    score: float
    lr: float
    seconds: float
    tasks_per_second: float


def outer_optimizer(meta: Meta, training: Training) -> torch.optim.Optimizer:
    """The outer optimizer over `meta.learned`, one parameter group per group name."""
    groups = [{"params": list(group.values()), "name": name} for name, group in meta.learned.items()]
    kind = torch.optim.SGD if training.optimizer == "sgd" else torch.optim.Adam
    return kind(groups, lr=training.lr, fused=all(map(_can_be_fused, tensors_of(meta.learned))) or None)


def _can_be_fused(tensor: Tensor) -> bool:
    """Fused optimizers read tensors as they lie in memory, and a net may have its weights in channels last."""
    return tensor.is_contiguous() and tensor.device.type in ("cpu", "cuda")


def updates(
    learner: Learner,
    tasks: Tasks,
    training: Training,
    optimizer: torch.optim.Optimizer,
    workers: Workers,
    *,
    seed: int = 0,
    first: int = 0,
) -> Iterator[Progress]:
    """Update `learner.meta` in place, from update `first` on, one update per iteration.

    Raises `DivergedError` before a loss, meta-gradient or statistics that are not finite touch the learner, and where
    the step of the optimizer has made the learner so.
    """
    for update in range(first, training.updates):
        began = time.perf_counter()
        batch = tasks.sample(seed, "train", update, training.meta_batch).to(learner.device)
        outcome, scored = meta_gradient(learner, batch, workers, update)
        loss = outcome.loss.item()
        if not (math.isfinite(loss) and are_finite(outcome.gradient, outcome.state)):
            what = f"the loss is {loss:g}" if not math.isfinite(loss) else "the meta-gradient is not finite"
            given = laid_out(learner, workers.mapping)
            raise DivergedError(f"update {update + 1}: {what}; {advice(learner, given, batch, workers, update)}")
        _step(learner.meta, outcome, optimizer, training, update)
        if not are_finite(learner.meta, list(optimizer.state.values())):
            raise DivergedError(
                f"update {update + 1}: its step made what is learned, or the optimizer's averages, too large to be "
                f"finite; lower training.lr, now {training.rate(update):g}, or set training.clip-value"
            )
        seconds = time.perf_counter() - began
        rate = training.meta_batch / seconds
        yield Progress(update + 1, loss, scored, training.rate(update), seconds, rate)


def meta_gradient(learner: Learner, batch: Task, workers: Workers, update: int) -> tuple[MetaGradient, float]:
    """The mean over a meta-batch, in task order, and the mean query score."""

    algorithm = learner.algorithm

    def one(model: Model, meta: Meta, task: Task) -> tuple[MetaGradient, Tensor]:
        outcome = algorithm.meta_gradient(model, meta, task, update)
        return outcome, score(model, outcome.logits, task.query.y)

    phase = (repr(algorithm), algorithm.order_at(update), algorithm.loss_weights(update))
    outcome, scores = workers.mean(one, laid_out(learner, workers.mapping), batch, step=update, phase=phase)
    return outcome, scores.item()


def _step(meta: Meta, outcome: MetaGradient, optimizer: torch.optim.Optimizer, training: Training, update: int) -> None:
    learned = tensors_of(meta.learned)
    for tensor, gradient in zip(learned, tensors_of(outcome.gradient), strict=True):
        tensor.grad = gradient.contiguous()
    if training.clip_value is not None:
        torch.nn.utils.clip_grad_value_(learned, training.clip_value)
    if training.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(learned, training.clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = training.rate(update)
    optimizer.step()
    map_tensors(lambda old, new: old.copy_(new), meta.state, outcome.state)
