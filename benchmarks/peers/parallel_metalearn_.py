"""parallel-metalearn 0.5.6, by the `step` of its own MAML and Reptile: vmap over chunks of tasks, or sequential.

Its translator of `nn.BatchNorm2d` passes arguments that its own batch norm does not take, so the net is built of its
layers here. Its evaluation returns the loss and the accuracy but no predictions. It has no squared error: that is a
subclass of its loss, as its documentation asks.
"""

from itertools import repeat

import torch
from metalearn.algorithms import MAML, Reptile
from metalearn.inner_optimizers import InnerSGD
from metalearn.loss import BaseLoss, CategoricalAccuracy, CrossEntropy
from metalearn.model_wrappers import MAML_Model
from metalearn.nn_models.basic_layers.BatchNormalization import BatchNorm
from torch import Tensor, nn

from benchmarks.contestant import Answer, NotDrivenError
from benchmarks.problem import Setting, net_of, tasks_of
from benchmarks.task_loop import as_answer, finish
from fewstep.core import Examples, Params
from fewstep.inner.adagrad import Adagrad

CHUNK = 8
"""Tasks that one vmap takes on convolutions, as in its README; more is slower here and takes gigabytes."""


class ParallelMetalearn:
    """Its meta-learner and the one meta-batch that its loader yields."""

    def __init__(self, setting: Setting, backend: str) -> None:
        self._setting = setting
        if isinstance(setting.workload.optimizer, Adagrad):
            raise NotDrivenError(
                "its InnerAdagrad makes a pair of every parameter (a tree_map over results descends into its tuples)"
            )
        chunk = setting.meta_batch if setting.workload.net == "mlp" else min(CHUNK, setting.meta_batch)
        self.how = f"vmap of {chunk} tasks" if backend == "vmap" else "task by task"
        self._learner = _learner(setting, backend, chunk)
        batch = tasks_of(setting)
        support, query = _targets(setting, batch.support), _targets(setting, batch.query)
        self._loader = repeat((batch.support.x, support, batch.query.x, query))

    def answers(self) -> list[Answer]:
        """The gradient that a step leaves on the parameters, or the loss of an evaluation."""
        loss, _ = self._step()
        if self._setting.workload.kind == "evaluation":
            return [as_answer({"loss": torch.tensor(float(loss))})]
        names = [name for name, _ in net_of(self._setting).named_parameters()]
        parameters = zip(names, self._learner.model.parameters(), strict=True)
        return [as_answer({name: value.grad for name, value in parameters if value.grad is not None})]

    def iterate(self) -> None:
        """One `step`."""
        self._step()
        finish(self._setting)

    def _step(self) -> tuple[float, float]:
        result: tuple[float, float] = self._learner.step(
            self._loader, training=self._setting.workload.kind != "evaluation"
        )
        return result


class Layers(nn.Module):
    """Layers that are given the flags which the library passes along."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, **flags: object) -> Tensor:
        """`x: [N, ...]` through all layers; only its batch norms read the flags."""
        for layer in self.layers:
            x = layer(x, **flags) if isinstance(layer, BatchNorm) else layer(x)
        return x


class SquaredError(BaseLoss):  # type: ignore[misc]  # the library has no types
    """The mean squared error, which is its own metric."""

    def forward(
        self, out_dict: Params, targets: Tensor, model_states: object = None, **_: object
    ) -> tuple[Tensor, ...]:
        """Loss and metric."""
        loss = nn.functional.mse_loss(out_dict["logits"], targets)
        return loss, loss.detach()


def _learner(setting: Setting, backend: str, chunk: int) -> MAML | Reptile:
    workload = setting.workload
    model = _model(setting)
    first_order = workload.order == 1 or workload.kind == "reptile"
    inner = InnerSGD(model.get_fast_weights(), first_order=first_order, inner_lr=setting.inner_lr, learn_lr=False)
    loss = SquaredError() if workload.net == "mlp" else CrossEntropy(metric_fn=CategoricalAccuracy())
    return (Reptile if workload.kind == "reptile" else MAML)(
        model=model,
        optimizer=torch.optim.Adam(model.parameters()),
        inner_optimizer=inner.to(setting.torch_dtype),
        support_loss_fn=loss,
        inner_steps=workload.steps,
        chunk_size=chunk,
        device=torch.device(setting.device),
        backend=backend,
    )


def _model(setting: Setting) -> MAML_Model:
    *layers, head = [_translated(layer) for layer in net_of(setting).modules() if not list(layer.children())]
    return MAML_Model(backbone=Layers(layers), head=Layers([head])).to(setting.device, setting.torch_dtype)


def _translated(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, nn.BatchNorm2d):
        return layer
    translated: nn.Module = BatchNorm(layer.num_features, eps=layer.eps, track_running_stats=False)
    translated.load_state_dict(layer.state_dict())
    return translated


def _targets(setting: Setting, examples: Examples) -> Tensor | dict[str, Tensor]:
    return examples.y if setting.workload.net == "mlp" else {"labels": examples.y}
