"""torchopt 0.7.3: second order by `MetaSGD` and `MetaAdaGrad`, as its MAML example does it.

Those always build a graph; what needs none (first order, Reptile, evaluation) uses its functional optimizers, which its
documentation calls the explicit gradient interface. ε inside the root is an accumulator that starts at ε.
"""

import torch
import torchopt
from torch import Tensor
from torch.func import functional_call

from benchmarks.problem import Setting, mean_loss, net_of
from benchmarks.task_loop import add_direction, backward
from fewstep.core import Params, Task
from fewstep.inner.adagrad import Adagrad


class TorchOpt:
    """A net whose parameters are replaced in the inner loop and recovered after it."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._workload = setting, setting.workload
        self._net = net_of(setting)
        self.theta: Params = dict(self._net.named_parameters())
        rule, lr = self._workload.optimizer, setting.inner_lr
        if isinstance(rule, Adagrad):
            start = rule.eps_inside
            self._inner = torchopt.MetaAdaGrad(self._net, lr=lr, initial_accumulator_value=start, eps=0.0)
        else:
            self._inner = torchopt.MetaSGD(self._net, lr=lr)

    def add_gradient(self, task: Task) -> None:
        """`.backward()` of the query loss, or θ − φ."""
        tasks = self._setting.meta_batch
        if self._workload.kind == "reptile":
            add_direction(self.theta, self._adapted_without_graph(task), tasks)
        elif self._workload.order == 1:
            outputs = functional_call(self._net, self._adapted_without_graph(task), (task.query.x,))
            backward(mean_loss(self._setting, outputs, task.query.y) / tasks)
        else:
            self._add_second_order(task, tasks)

    def predictions(self, task: Task) -> Tensor:
        """The queries at φ."""
        phi = self._adapted_without_graph(task)
        with torch.no_grad():
            outputs: Tensor = functional_call(self._net, phi, (task.query.x,))
        return outputs

    def _add_second_order(self, task: Task, tasks: int) -> None:
        net_state = torchopt.extract_state_dict(self._net, by="reference")
        inner_state = torchopt.extract_state_dict(self._inner, by="reference")
        for _ in range(self._workload.steps):
            self._inner.step(mean_loss(self._setting, self._net(task.support.x), task.support.y))
        backward(mean_loss(self._setting, self._net(task.query.x), task.query.y) / tasks)
        torchopt.recover_state_dict(self._net, net_state)
        torchopt.recover_state_dict(self._inner, inner_state)

    def _adapted_without_graph(self, task: Task) -> Params:
        names, phi = list(self.theta), tuple(self.theta.values())
        optimizer = torchopt.sgd(lr=self._setting.inner_lr)
        state = optimizer.init(phi)
        for _ in range(self._workload.steps):
            outputs = functional_call(self._net, dict(zip(names, phi, strict=True)), (task.support.x,))
            gradients = torch.autograd.grad(mean_loss(self._setting, outputs, task.support.y), phi)
            change, state = optimizer.update(gradients, state, params=phi, inplace=False)
            phi = torchopt.apply_updates(phi, change, inplace=False)
        return dict(zip(names, phi, strict=True))
