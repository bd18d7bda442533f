"""higher 0.2.1, as its MAML example does it: `innerloop_ctx`, one task at a time.

First order by its `grad_callback`, which detaches the gradients that higher has already made differentiable. ε inside
the root is an accumulator that starts at ε.
"""

import higher
import torch
from torch import Tensor

from benchmarks.problem import Setting, mean_loss, net_of
from benchmarks.task_loop import add_direction, backward
from fewstep.core import Params, Task
from fewstep.inner.adagrad import Adagrad


class Higher:
    """A patched copy of the net per task."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._workload = setting, setting.workload
        self._net = net_of(setting)
        self.theta: Params = dict(self._net.named_parameters())
        rule, parameters = self._workload.optimizer, self._net.parameters()
        self._inner: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=setting.inner_lr)
        if isinstance(rule, Adagrad):
            start = rule.eps_inside
            self._inner = torch.optim.Adagrad(
                self._net.parameters(), lr=setting.inner_lr, initial_accumulator_value=start, eps=0
            )

    def add_gradient(self, task: Task) -> None:
        """`.backward()` of the query loss, or θ − φ of a loop that tracks nothing."""
        tasks, reptile = self._setting.meta_batch, self._workload.kind == "reptile"
        detach = _detached if self._workload.order == 1 else None
        with higher.innerloop_ctx(
            self._net, self._inner, copy_initial_weights=False, track_higher_grads=not reptile
        ) as (net, optimizer):
            for _ in range(self._workload.steps):
                loss = mean_loss(self._setting, net(task.support.x), task.support.y)
                optimizer.step(loss, grad_callback=detach)
            if reptile:
                add_direction(self.theta, dict(zip(self.theta, net.parameters(), strict=True)), tasks)
                return
            backward(mean_loss(self._setting, net(task.query.x), task.query.y) / tasks)

    def predictions(self, task: Task) -> Tensor:
        """The queries at φ, with no graph kept."""
        with higher.innerloop_ctx(self._net, self._inner, track_higher_grads=False) as (net, optimizer):
            for _ in range(self._workload.steps):
                optimizer.step(mean_loss(self._setting, net(task.support.x), task.support.y))
            with torch.no_grad():
                outputs: Tensor = net(task.query.x)
        return outputs


def _detached(gradients: list[Tensor]) -> list[Tensor]:
    return [gradient.detach() for gradient in gradients]
