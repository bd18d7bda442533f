"""fewstep, driven as `fewstep train` drives it: `learner_of`, the mapping that the clock chooses, `updates`."""

import dataclasses
from collections.abc import Iterator

from torch import Tensor

from benchmarks.contestant import Answer, NotDrivenError
from benchmarks.problem import Setting, net_of, tasks_of
from benchmarks.task_loop import as_answer, finish, predicted
from benchmarks.workloads import Workload
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.reptile import Reptile
from fewstep.autotune import choose_mapping
from fewstep.core import Task
from fewstep.evaluation import laid_out
from fewstep.inner.loop import adapt
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.model import Loss, Model
from fewstep.training import Progress, Training, meta_gradient, outer_optimizer, updates

ENDLESS = 10**9


@dataclasses.dataclass(frozen=True, kw_only=True)
class SameTasks:
    """One meta-batch, whatever is asked for."""

    batch: Task
    inputs: tuple[int, ...]
    outputs: int
    class_names: list[str]

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """The meta-batch."""
        return self.batch


class Fewstep:
    """A learner whose tasks are mapped by `Workers`."""

    def __init__(self, setting: Setting, learner: Learner, mapping: Mapping) -> None:
        self._setting, self._learner, self._mapping = setting, learner, mapping
        self._batch = tasks_of(setting)
        self.how = str(mapping)
        self._workers = Workers(self._learner.model, self._mapping).__enter__()
        self._progress = self._train()

    def answers(self) -> list[Answer]:
        """By the mapping that the clock chose, task by task over threads, and all tasks at once."""
        ways = {self._mapping, Mapping(threads=self._setting.threads), Mapping(chunk=self._setting.meta_batch)}
        return [self._answer(mapping) for mapping in sorted(ways, key=repr)]

    def iterate(self) -> None:
        """One update of `fewstep.training.updates`, or the predictions of every task."""
        if self._setting.workload.kind == "evaluation":
            predictions(self._learner, self._batch, self._workers, self._setting.workload.steps)
        else:
            next(self._progress)
        finish(self._setting)

    def _train(self) -> Iterator[Progress]:
        training = Training(updates=ENDLESS, meta_batch=self._setting.meta_batch)
        optimizer = outer_optimizer(self._learner.meta, training)
        inputs = tuple(self._batch.support.x.shape[2:])
        tasks = SameTasks(batch=self._batch, inputs=inputs, outputs=0, class_names=[])
        return updates(self._learner, tasks, training, optimizer, self._workers)

    def _answer(self, mapping: Mapping) -> Answer:
        with Workers(self._learner.model, mapping) as workers:
            if self._setting.workload.kind == "evaluation":
                logits = predictions(self._learner, self._batch, workers, self._setting.workload.steps)
                return predicted(self._setting, logits, self._batch)
            return as_answer(meta_gradient(self._learner, self._batch, workers, 0)[0].gradient["theta"])


def eager(setting: Setting) -> Fewstep:
    """By the mapping that the clock chooses, as in training."""
    learner = learner_for(setting)
    return Fewstep(setting, learner, choose_mapping(learner, tasks_of(setting), setting.threads))


def compiled(setting: Setting) -> Fewstep:
    """All tasks at once, through torch.compile."""
    if setting.workload.net != "mlp":
        raise NotDrivenError("compilation is for small nets: on convolutions it takes minutes and gains nothing")
    return Fewstep(setting, learner_for(setting), Mapping(chunk=setting.meta_batch, execution="compiled"))


def learner_for(setting: Setting) -> Learner:
    """The library's learner for a workload."""
    loss: Loss = "mean_squared_error" if setting.workload.net == "mlp" else "mean_cross_entropy"
    start = learner_of(net_of(setting), algorithm(setting.workload, setting.inner_lr), loss=loss)
    return start.to(setting.device, setting.torch_dtype)


def algorithm(workload: Workload, inner_lr: float) -> MAML | Reptile:
    """The library's algorithm for a workload."""
    steps, rule = workload.steps, workload.optimizer
    if workload.kind == "reptile":
        return Reptile(inner_lr=inner_lr, inner_steps=steps, inner_batch=None, optimizer=rule, persistent_slots=False)
    return MAML(inner_lr=inner_lr, inner_steps=steps, order=workload.order, optimizer=rule)


def predictions(learner: Learner, batch: Task, workers: Workers, steps: int) -> Tensor:
    """Logits `[T, M, ways]` after adaptation.

    `fewstep evaluate` does more: it scores every inner step, and each query alone.
    """
    tested = learner.for_evaluation()
    meta = laid_out(tested, workers.mapping)

    def one(model: Model, task: Task) -> Tensor:
        phi = adapt(tested.algorithm, model, meta, task.support, steps)
        return tested.algorithm.predict(model, phi, task.query.x)

    outputs: Tensor = workers.map(one, batch)
    return outputs
