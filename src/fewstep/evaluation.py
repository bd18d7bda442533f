"""Honest evaluation: mean and 95 % confidence interval over a fixed, seeded list of tasks."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fewstep.core import Meta, Task, map_tensors
from fewstep.inner.loop import trajectory
from fewstep.inner.settings import MOST_STEPS
from fewstep.learner import Learner
from fewstep.mapping import Mapping, Workers
from fewstep.model import Model
from fewstep.ranks import ALONE, Ranks
from fewstep.tasks.splits import Tasks

BLOCK = 100
"""Tasks sampled at once; part of the definition of the task list, so fixed."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a learner is tested."""

    tasks: int = 1000
    """test tasks: a fixed, seeded list"""
    steps: int = 3
    """inner steps at test time"""
    seed: int = 0
    """seed of the task list"""
    inner_lr: float | None = None
    """replaces the algorithm's own inner rate at test time, where a protocol says so"""
    inner_batch: int | None = None
    """replaces the algorithm's own mini-batch at test time, where a protocol says so (Reptile)"""
    ensemble: int = 1
    """average the predicted probabilities of so many of the best validation checkpoints (official MAML++)"""

    def __post_init__(self) -> None:
        if self.tasks < 2 or self.steps < 0:
            raise ValueError(f"evaluation needs tasks ≥ 2 and steps ≥ 0, got tasks={self.tasks}, steps={self.steps}")
        if self.steps > MOST_STEPS:
            raise ValueError(f"evaluation.steps={self.steps}: expected {MOST_STEPS} or fewer")
        if self.ensemble < 1:
            raise ValueError(f"evaluation.ensemble={self.ensemble}: expected 1, or more for an ensemble")


class Score(NamedTuple):
    """A mean over tasks and the half width of its 95 % confidence interval, 1.96 · std / √tasks."""

    mean: float
    ci95: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """Scores after 0, 1, ..., `steps` inner steps: accuracy in [0, 1], or mean squared error.

    `queries` is the number forwarded together in a task: it matters under a transductive policy.
    `per_query` forwards each query with the support set alone; equal to the last of `at_step` unless transductive.
    """

    metric: str
    at_step: list[Score]
    per_query: Score
    tasks: int
    queries: int
    seed: int
    steps: int
    norm: str
    transductive: bool
    ensemble: int = 1
    per_task: list[float] = dataclasses.field(default_factory=list, repr=False)
    """the score after the last step of every task, in order, to 6 digits: what paired tests need"""

    @property
    def score(self) -> Score:
        """The score after the last step."""
        return self.at_step[-1]

    def __str__(self) -> str:
        """One line, as `98.71 ± 0.12 % (95 % CI, 1000 tasks × 5 queries, seed 0, transductive, 3 steps)`."""
        return self._line(self.score, self._kind())

    def per_query_line(self) -> str:
        """The line of the per-query score."""
        return self._line(self.per_query, "per query")

    def value(self, score: Score) -> str:
        """`98.71 ± 0.12 %`, or `MSE 0.1234 ± 0.0056`."""
        if self.metric == "accuracy":
            return f"{100 * score.mean:.2f} ± {100 * score.ci95:.2f} %"
        return f"MSE {score.mean:.4f} ± {score.ci95:.4f}"

    def _kind(self) -> str:
        if self.transductive:
            return "transductive"
        return f"{self.norm} statistics" if self.norm != "transductive" else "per query"

    def _line(self, score: Score, kind: str) -> str:
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        together = f", {self.ensemble} checkpoints together" if self.ensemble > 1 else ""
        conditions = f"{self.tasks} tasks × {self.queries} queries, seed {self.seed}, {kind}, {steps}{together}"
        return f"{self.value(score)} (95 % CI, {conditions})"

    def as_json(self) -> dict[str, object]:
        """Plain values for `result.json`."""
        return {**dataclasses.asdict(self), "line": str(self), "per_query_line": self.per_query_line()}


class TaskScores(NamedTuple):
    """One task's scores: `at_step: [steps + 1]`, `per_query: []`."""

    at_step: Tensor
    per_query: Tensor


def evaluate(
    learner: Learner,
    tasks: Tasks,
    evaluation: Evaluation | None = None,
    *,
    mapping: Mapping | None = None,
    stream: str = "test",
    others: Sequence[Meta] = (),
    ranks: Ranks = ALONE,
    see: Callable[[int, int], None] = lambda done, blocks: None,
) -> Result:
    """Score `learner` on a fixed list of tasks; changes nothing in it.

    The list depends on the tasks, `evaluation.seed` and `stream` alone. With `others`, further states of the same
    learner, the probabilities (or values) that all predict are averaged. Several `ranks` share the tasks, and all
    return the result of one process (exactly, where a chunk is one task). `see` is told after every block how many of
    how many are done.
    """
    evaluation = evaluation or Evaluation()
    learner, mapping = at_test(learner, evaluation), mapping or Mapping()
    if learner.algorithm.makes_head:
        learner = learner.for_ways(tasks.outputs)
    members = [learner, *(dataclasses.replace(learner, meta=meta) for meta in others)]
    members = [dataclasses.replace(member, meta=laid_out(member, mapping)) for member in members]
    scored: list[TaskScores] = []
    queries = 0

    def scores(model: Model, task: Task) -> TaskScores:
        return task_scores(members, model, task, evaluation.steps)

    with Workers(learner.model, mapping, ranks=ranks) as workers:
        for block, first in enumerate(range(0, evaluation.tasks, BLOCK)):
            count = min(BLOCK, evaluation.tasks - first)
            batch = tasks.sample(evaluation.seed, stream, block, count).to(learner.device)
            queries = batch.query.x.shape[1]
            scored.append(workers.map(scores, batch))
            see(block + 1, -(-evaluation.tasks // BLOCK))
    at_step = torch.cat([block.at_step for block in scored])
    return Result(
        metric="accuracy" if learner.model.is_classifier else "mse",
        at_step=[_score(column) for column in at_step.T],
        per_query=_score(torch.cat([block.per_query for block in scored])),
        tasks=evaluation.tasks,
        queries=queries,
        seed=evaluation.seed,
        steps=evaluation.steps,
        norm=learner.model.norm,
        transductive=learner.model.is_transductive,
        ensemble=len(members),
        per_task=[round(value, 6) for value in at_step[:, -1].tolist()],
    )


def task_scores(members: Sequence[Learner], model: Model, task: Task, steps: int) -> TaskScores:
    """The scores of one task, by the mean of what the members predict."""
    predicted = [_predictions(member, model, task, steps) for member in members]
    at_step, alone = predicted[0] if len(predicted) == 1 else _averaged(model, predicted)
    scores = torch.stack([score(model, outputs, task.query.y) for outputs in at_step])
    return TaskScores(scores, scores[-1] if alone is None else score(model, alone, task.query.y))


class _Predictions(NamedTuple):
    """Outputs `[M, D]` after 0, 1, ... steps, and with each query alone; None where that is the same."""

    at_step: list[Tensor]
    alone: Tensor | None


def _predictions(learner: Learner, model: Model, task: Task, steps: int) -> _Predictions:
    path = trajectory(learner.algorithm, model, learner.meta, task.support, steps)
    at_step = [learner.algorithm.predict(model, phi, task.query.x) for phi in path]
    if not model.is_transductive:
        return _Predictions(at_step, None)

    phi = map_tensors(Tensor.contiguous, path[-1])  # as a vmap takes it

    def with_support_alone(query: Tensor) -> Tensor:
        return learner.algorithm.predict(model, phi, torch.cat([task.support.x, query[None]]))[-1]

    try:
        alone = torch.func.vmap(with_support_alone)(task.query.x)
    except RuntimeError:  # a net that cannot be vectorised: the same, one by one
        alone = torch.stack([with_support_alone(query) for query in task.query.x])
    return _Predictions(at_step, alone)


def _averaged(model: Model, predicted: Sequence[_Predictions]) -> _Predictions:
    def mean(outputs: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(outputs))
        return (stacked.softmax(-1) if model.is_classifier else stacked).mean(0)

    at_step = [mean(outputs) for outputs in zip(*(one.at_step for one in predicted), strict=True)]
    alone = [one.alone for one in predicted if one.alone is not None]
    return _Predictions(at_step, mean(alone) if alone else None)


def score(model: Model, outputs: Tensor, y: Tensor) -> Tensor:
    """Accuracy in [0, 1] of logits, or the mean squared error; a float64 scalar."""
    if model.is_classifier:
        return (outputs.argmax(-1) == y).double().mean()
    return torch.nn.functional.mse_loss(outputs.double(), y.double())


def laid_out(learner: Learner, mapping: Mapping) -> Meta:
    """What the learner has learned, as tensors without gradients that lie in memory as the mapping runs fastest."""
    return map_tensors(torch.detach, learner.meta) if mapping.chunk > 1 else learner.model.laid_out(learner.meta)


def at_test(learner: Learner, evaluation: Evaluation) -> Learner:
    """The learner as it is tested, at the evaluation's own inner rate and mini-batch if it has them."""
    algorithm: Any = learner.algorithm
    if evaluation.inner_lr is not None and "inner_lr" in learner.meta.learned:
        raise ValueError(
            "evaluation.inner_lr replaces a fixed inner rate, but this learner has learned its own; leave it out"
        )
    fields = {field.name for field in dataclasses.fields(algorithm)}
    changes = {name: value for name in ("inner_lr", "inner_batch") if (value := getattr(evaluation, name)) is not None}
    if unknown := set(changes) - fields:
        raise ValueError(f"evaluation.{min(unknown)}: {type(algorithm).__name__} has no such field; leave it out")
    algorithm = dataclasses.replace(algorithm, **changes)
    return dataclasses.replace(learner.for_evaluation(), algorithm=algorithm)


def _score(values: Tensor) -> Score:
    return Score(values.mean().item(), 1.96 * values.std().item() / len(values) ** 0.5)
