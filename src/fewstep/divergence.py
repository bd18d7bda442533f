"""Training that has gone to infinity: how it is noticed, and which rate is to blame."""

import torch
from torch import Tensor

from fewstep.core import Meta, Task, tensors_of
from fewstep.inner.loop import trajectory
from fewstep.learner import Learner
from fewstep.mapping import Workers
from fewstep.model import Model


class DivergedError(ArithmeticError):
    """Training, or a test, met numbers that are not finite; the message says where, and what to lower."""


def are_finite(*trees: object) -> bool:
    """Whether every number of every floating-point tensor is finite."""
    tensors = [t.detach().flatten() for tree in trees for t in tensors_of(tree) if t.is_floating_point()]
    return not tensors or bool(torch.cat(tensors).isfinite().all())


def advice(learner: Learner, given: Meta, batch: Task, workers: Workers, update: int) -> str:
    """What to lower after `update`, counted from 0, whose loss or meta-gradient of `batch` was not finite.

    It depends on where the mean query loss stops being finite: before any inner step, in the inner loop, or not at
    all. With several ranks all call this, and read the same.
    """
    algorithm, steps = learner.algorithm, learner.algorithm.inner_steps

    def losses(model: Model, task: Task) -> Tensor:
        path = trajectory(algorithm, model, given, task.support, steps)
        return torch.stack([model.loss(algorithm.predict(model, phi, task.query.x), task.query.y) for phi in path])

    finite = workers.map(losses, batch, step=update).isfinite().all(0).tolist()
    inner_lr = getattr(algorithm, "inner_lr", None)
    outer = "lower training.lr or set training.clip-norm"
    if not finite[0]:
        if update == 0:
            return "it is so before anything was learned: look at the scale of the inputs and of the net's parameters"
        return f"it is so before any inner step, so what was learned has grown too large: {outer}"
    if inner_lr is None:
        return outer
    if all(finite):
        inner = "every loss is, so it is the gradient through the inner loop that grows too large"
    else:
        inner = f"before any inner step it is, no longer after step {finite.index(False)} of {steps}"
    also = f", or {outer}" if update > 0 else ""
    return f"{inner}: lower algorithm.inner-lr, now {inner_lr:g}{also}"
