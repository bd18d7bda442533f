"""A plain autograd loop over hand-written functional nets: what a good user writes without a library."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.problem import Setting, mean_loss, theta_of
from benchmarks.task_loop import add_direction, backward
from fewstep.core import Params, Task
from fewstep.inner.adagrad import Adagrad


class PlainLoop:
    """`torch.autograd.grad` in the inner loop, with a graph where the order is 2."""

    def __init__(self, setting: Setting) -> None:
        self.theta = theta_of(setting)
        self._setting, self._workload = setting, setting.workload
        self._forward = mlp if setting.workload.net == "mlp" else conv4

    def add_gradient(self, task: Task) -> None:
        """`.backward()` of the query loss through the inner loop, or θ − φ."""
        tasks = self._setting.meta_batch
        if self._workload.kind == "reptile":
            add_direction(self.theta, self._adapted(task, order=1), tasks)
            return
        phi = self._adapted(task, order=self._workload.order)
        loss = mean_loss(self._setting, self._forward(phi, task.query.x), task.query.y)
        backward(loss / tasks)

    def predictions(self, task: Task) -> Tensor:
        """The queries at φ."""
        phi = self._adapted(task, order=1)
        with torch.no_grad():
            return self._forward(phi, task.query.x)

    def _adapted(self, task: Task, *, order: int) -> Params:
        """φ; in first order the gradients are constants, and φ still depends on θ, by the identity."""
        lr, rule = self._setting.inner_lr, self._workload.optimizer
        phi = self.theta
        sums: Params = {name: torch.zeros_like(value) for name, value in phi.items()}
        for _ in range(self._workload.steps):
            loss = mean_loss(self._setting, self._forward(phi, task.support.x), task.support.y)
            gradients = torch.autograd.grad(loss, list(phi.values()), create_graph=order == 2)
            named = dict(zip(phi, gradients, strict=True))
            if isinstance(rule, Adagrad):
                sums = {name: sums[name] + g * g for name, g in named.items()}
                phi = {name: phi[name] - lr * g / (sums[name] + rule.eps_inside).sqrt() for name, g in named.items()}
            else:
                phi = {name: phi[name] - lr * g for name, g in named.items()}
        return phi


def conv4(phi: Params, x: Tensor) -> Tensor:
    """Logits `[N, ways]` of images `x: [N, C, H, W]`; batch norm on the batch's statistics."""
    for block in ("block1", "block2", "block3", "block4"):
        x = F.conv2d(x, phi[f"{block}.conv.weight"], phi[f"{block}.conv.bias"], padding=1)
        x = F.batch_norm(x, None, None, phi[f"{block}.norm.weight"], phi[f"{block}.norm.bias"], training=True)
        x = F.max_pool2d(F.relu(x), 2)
    return F.linear(x.flatten(1), phi["head.weight"], phi["head.bias"])


def mlp(phi: Params, x: Tensor) -> Tensor:
    """Values `[N, 1]` of `x: [N, 1]`."""
    x = F.relu(F.linear(x, phi["1.weight"], phi["1.bias"]))
    x = F.relu(F.linear(x, phi["3.weight"], phi["3.bias"]))
    return F.linear(x, phi["5.weight"], phi["5.bias"])
