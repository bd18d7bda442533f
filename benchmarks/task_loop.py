"""The outer loop that users of autograd libraries write: task by task, `.backward()`, then one Adam step."""

from typing import Protocol

import torch
from torch import Tensor

from benchmarks.contestant import Answer
from benchmarks.problem import Setting, mean_loss, tasks_of
from fewstep.core import Params, Task


class PerTask(Protocol):
    """How a library treats one task."""

    theta: Params
    """leaves, whose `.grad` it accumulates"""

    def add_gradient(self, task: Task) -> None:
        """Add the task's share of the mean meta-gradient to the `.grad` of θ."""
        ...

    def predictions(self, task: Task) -> Tensor:
        """Outputs for the queries after adaptation; needs no gradient."""
        ...


class TaskLoop:
    """A contestant out of what is done for one task."""

    how = "task by task"

    def __init__(self, setting: Setting, library: PerTask) -> None:
        self._setting, self._library = setting, library
        batch = tasks_of(setting)
        self._tasks = [batch.select(i) for i in range(setting.meta_batch)]
        self._adam = torch.optim.Adam(library.theta.values())

    def answers(self) -> list[Answer]:
        """The mean meta-gradient, or predictions and their loss."""
        if self._setting.workload.kind == "evaluation":
            logits = [self._library.predictions(task).detach() for task in self._tasks]
            return [predicted(self._setting, torch.stack(logits), tasks_of(self._setting))]
        self._accumulate()
        return [as_answer({name: value.grad for name, value in self._library.theta.items() if value.grad is not None})]

    def iterate(self) -> None:
        """All tasks, one after another."""
        if self._setting.workload.kind == "evaluation":
            for task in self._tasks:
                self._library.predictions(task)
        else:
            self._accumulate()
            self._adam.step()
        finish(self._setting)

    def _accumulate(self) -> None:
        self._adam.zero_grad()
        for task in self._tasks:
            self._library.add_gradient(task)


def add_direction(theta: Params, phi: Params, tasks: int) -> None:
    """Reptile's direction θ − φ, a task's share of the mean, added to the `.grad` of θ."""
    for name, value in theta.items():
        share = (value.detach() - phi[name].detach()) / tasks
        value.grad = share if value.grad is None else value.grad.add_(share)


def backward(loss: Tensor) -> None:
    """`loss.backward()`, of which torch tells type checkers nothing."""
    loss.backward()  # type: ignore[no-untyped-call]


def predicted(setting: Setting, logits: Tensor, batch: Task) -> Answer:
    """The answer of an evaluation: `logits: [T, M, ways]` and their mean loss."""
    loss = mean_loss(setting, logits.flatten(0, 1), batch.query.y.flatten(0, 1))
    return as_answer({"logits": logits, "loss": loss})


def as_answer(tensors: Params) -> Answer:
    """Tensors as float64 arrays."""
    return {name: value.detach().double().cpu().numpy() for name, value in tensors.items()}


def finish(setting: Setting) -> None:
    """Wait for the device."""
    if setting.device != "cpu":
        torch.cuda.synchronize()
