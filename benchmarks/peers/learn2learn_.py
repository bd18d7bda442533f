"""learn2learn 0.2.0: `MAML.clone` and `adapt`, one task at a time, as its examples do."""

import torch
from learn2learn.algorithms import MAML
from torch import Tensor

from benchmarks.contestant import NotDrivenError
from benchmarks.problem import Setting, mean_loss, net_of
from benchmarks.task_loop import add_direction, backward
from fewstep.core import Params, Task
from fewstep.inner.adagrad import Adagrad


class Learn2Learn:
    """A clone of the wrapped net per task."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._workload = setting, setting.workload
        if isinstance(self._workload.optimizer, Adagrad):
            raise NotDrivenError("its MAML takes SGD steps only")
        without_graph = self._workload.order == 1 or self._workload.kind != "maml"
        self._maml = MAML(net_of(setting), lr=setting.inner_lr, first_order=without_graph)
        self.theta: Params = {name.removeprefix("module."): value for name, value in self._maml.named_parameters()}

    def add_gradient(self, task: Task) -> None:
        """`.backward()` of the query loss through the clone, or θ − φ."""
        clone = self._adapted(task)
        if self._workload.kind == "reptile":
            phi: Params = dict(zip(self.theta, clone.parameters(), strict=True))
            add_direction(self.theta, phi, self._setting.meta_batch)
            return
        loss = mean_loss(self._setting, clone(task.query.x), task.query.y)
        backward(loss / self._setting.meta_batch)

    def predictions(self, task: Task) -> Tensor:
        """The queries at φ."""
        clone = self._adapted(task)
        with torch.no_grad():
            outputs: Tensor = clone(task.query.x)
        return outputs

    def _adapted(self, task: Task) -> MAML:
        clone = self._maml.clone()
        for _ in range(self._workload.steps):
            clone.adapt(mean_loss(self._setting, clone(task.support.x), task.support.y))
        return clone
