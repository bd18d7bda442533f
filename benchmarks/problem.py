"""The same tasks and the same initial parameters for every contestant, in whatever process it runs."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks.workloads import HIDDEN, SIDE, WAYS, WORKLOADS, Workload
from fewstep import seeding
from fewstep.core import Examples, Params, Task
from fewstep.nets.conv4 import Conv4
from fewstep.nets.mlp import MLP
from fewstep.nets.norm import on_batch_statistics
from fewstep.tasks.sinusoid import Sinusoid


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One workload as one contestant runs it."""

    name: str
    """of the workload"""
    meta_batch: int
    inner_lr: float
    threads: int
    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"

    @property
    def workload(self) -> Workload:
        """What is to be done."""
        return WORKLOADS[self.name]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of parameters and inputs."""
        return torch.float64 if self.dtype == "float64" else torch.float32


def tasks_of(setting: Setting) -> Task:
    """The meta-batch, its tensors leading with `[T]`: random images `[T, N, 1, 28, 28]`, or sinusoids `[T, N, 1]`."""
    workload, count = setting.workload, setting.meta_batch
    if workload.net == "mlp":
        sinusoids = Sinusoid(shots=workload.support, queries=workload.queries)
        batch = sinusoids.sample(0, "benchmark", 0, count)
    else:
        generator = torch.Generator().manual_seed(seeding.torch_seed(0, "benchmark"))
        batch = Task(*(_images(count, number, generator) for number in (workload.support, workload.queries)))
    return batch.to(setting.device, setting.torch_dtype)


def _images(tasks: int, number: int, generator: torch.Generator) -> Examples:
    x = torch.rand(tasks, number, 1, SIDE, SIDE, generator=generator)
    y = torch.arange(WAYS).repeat(number // WAYS).expand(tasks, number).contiguous()
    return Examples(x, y)


def net_of(setting: Setting) -> nn.Module:
    """The net, its batch norms on the statistics of the batch that they see."""
    with seeding.seeded(0, "benchmark/net"):
        if setting.workload.net == "mlp":
            net = MLP(hidden=(HIDDEN, HIDDEN)).build(inputs=(1,), outputs=1)
        else:
            net = Conv4(filters=64, downsample="pool").build(inputs=(1, SIDE, SIDE), outputs=WAYS)
    return on_batch_statistics(net).to(setting.device, setting.torch_dtype)


def theta_of(setting: Setting) -> Params:
    """The net's parameters as leaves that require gradients."""
    return {name: value.detach().requires_grad_() for name, value in net_of(setting).named_parameters()}


def mean_loss(setting: Setting, outputs: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of images, mean squared error of sinusoids."""
    if setting.workload.net == "mlp":
        return nn.functional.mse_loss(outputs, y)
    return nn.functional.cross_entropy(outputs, y)
