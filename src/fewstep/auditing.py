"""The audit: what a learner really does, measured in float64 on a few tasks, not read off its settings."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from fewstep.card import Card, Check
from fewstep.core import Examples, MetaGradient, Task
from fewstep.derivative_order import LAST, check_order, outcome_of
from fewstep.learner import Learner
from fewstep.tasks.splits import Splits

SAME = 1e-9
"""Largest difference of float64 logits that counts as none."""
TASKS = 4

Logits = Callable[[Examples, Tensor], Tensor]
"""A support set and queries `x: [M, *input]` to the logits `[M, ways]`, or values `[M, D]`."""


def audit(learner: Learner, splits: Splits, *, seed: int = 0) -> Card:
    """Measure `learner` on a few training tasks, and the class lists of its splits. Changes nothing.

    A net that does not run in float64 leaves one note in place of what was to be measured.
    """
    try:
        order, checks = _measured(learner, splits, seed)
    except RuntimeError as error:
        found = str(error).partition("\n")[0]
        order, checks = None, [Check("derivative order", "note", f"not measured, the net fails in float64: {found}")]
    return Card(order=order, checks=[*checks, check_splits(splits)])


def _measured(learner: Learner, splits: Splits, seed: int) -> tuple[Literal[1, 2] | None, list[Check]]:
    exact = learner.to("cpu", torch.float64)
    trained = dataclasses.replace(exact, model=exact.model.without_dropout())
    tested = exact.for_evaluation()
    batch = splits.train.sample(seed, "audit", 0, TASKS).to("cpu", torch.float64)
    tasks = [batch.select(i) for i in range(TASKS)]
    outcomes = [outcome_of(trained, task, LAST) for task in tasks]
    order, order_check = check_order(trained, tasks, seed)
    return order, [
        order_check,
        _check_gradients(trained, outcomes),
        _check_transduction(tested, tasks),
        _check_label_leak(trained, tasks, outcomes),
        check_support_order(_logits_of(tested), tasks),
        check_copies(tasks),
    ]


def _check_gradients(learner: Learner, outcomes: list[MetaGradient]) -> Check:
    without = [
        f"{group}/{name}"
        for group, params in learner.meta.learned.items()
        for name in params
        if not any(outcome.gradient[group][name].any() for outcome in outcomes)
    ]
    frozen = [name for name, parameter in learner.model.net.named_parameters() if not parameter.requires_grad]
    if without:
        return Check("gradients", "note", f"zero for {', '.join(without)}: unused, or cut off from the loss")
    suffix = f"; frozen: {', '.join(frozen)}" if frozen else ""
    return Check("gradients", "ok", f"every learned tensor has one{suffix}")


def changes_with_other_queries(logits: Logits, tasks: list[Task]) -> list[float]:
    """By how much each task's first query's logits change while its other queries are replaced by another task's."""

    def first_logits(task: Task, others: Tensor) -> Tensor:
        return logits(task.support, torch.cat([task.query.x[:1], others]))[0]

    return [
        difference(first_logits(task, task.query.x[1:]), first_logits(task, other.query.x[1:]))
        for task, other in zip(tasks, tasks[1:] + tasks[:1], strict=True)
    ]


def _check_transduction(learner: Learner, tasks: list[Task]) -> Check:
    changes = changes_with_other_queries(_logits_of(learner), tasks)
    declared = learner.model.norm == "transductive" and learner.model.is_transductive
    measured = max(changes) > SAME
    if measured and not declared:
        return Check(
            "transduction",
            "leak",
            f"predictions depend on the other queries (by {max(changes):.1e}), "
            f"though the norm policy is '{learner.model.norm}'",
        )
    if measured:
        return Check("transduction", "note", f"transductive, as the norm policy '{learner.model.norm}' says")
    return Check("transduction", "ok", "each query's prediction is its own")


def _check_label_leak(learner: Learner, tasks: list[Task], outcomes: list[MetaGradient]) -> Check:
    """The logits of training while the query labels are in reverse order."""
    changes = []
    for task, outcome in zip(tasks, outcomes, strict=True):
        reversed_labels = Task(task.support, Examples(task.query.x, task.query.y.flip(0)))
        logits = outcome_of(learner, reversed_labels, LAST).logits
        changes.append(difference(outcome.logits, logits))
    if max(changes) > SAME:
        return Check("query labels", "leak", f"predictions depend on the query labels (by {max(changes):.1e})")
    return Check("query labels", "ok", "permuting them changes no prediction")


def check_support_order(logits: Logits, tasks: list[Task]) -> Check:
    """The logits while the last example of the support set comes first, which moves those of mini-batches too."""
    changes = []
    for task in tasks:
        moved = Examples(task.support.x.roll(1, 0), task.support.y.roll(1, 0))
        changes.append(difference(logits(task.support, task.query.x), logits(moved, task.query.x)))
    if max(changes) > SAME:
        return Check(
            "support order", "note", f"predictions depend on the order of the support set ({max(changes):.1e})"
        )
    return Check("support order", "ok", "does not matter")


def check_copies(tasks: list[Task]) -> Check:
    """Queries that are in the support set of their own task."""
    copies = 0
    for task in tasks:
        same = (task.query.x.flatten(1)[:, None] == task.support.x.flatten(1)[None]).all(-1)
        copies += int(same.any(1).sum())
    if copies:
        return Check("copies", "leak", f"{copies} queries of {len(tasks)} tasks are also in their support set")
    return Check("copies", "ok", "no query is in its support set")


def check_splits(splits: Splits) -> Check:
    """Shared classes, whatever their rotation; a protocol that shares some by definition says so."""
    names = {
        name: set(tasks.class_names)
        for name, tasks in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        if tasks is not None
    }
    pairs = [(a, b) for a, b in (("train", "val"), ("train", "test"), ("val", "test")) if {a, b} <= set(names)]
    shared = {f"{a} and {b}": names[a] & names[b] for a, b in pairs if names[a] & names[b]}
    if not shared:
        sizes = ", ".join(f"{name} {len(found)}" for name, found in names.items())
        return Check("splits", "ok", f"no class is in two of them, rotations included ({sizes})")
    found = "; ".join(f"{pair} share {len(common)}, '{min(common)}' for one" for pair, common in shared.items())
    if splits.overlap and set(shared) <= {"train and val"}:
        return Check("splits", "note", f"{found}: by definition, {splits.overlap}")
    return Check("splits", "leak", found)


def _logits_of(learner: Learner) -> Logits:
    return lambda support, x: learner.predict(learner.adapt(support), x)


def difference(a: Tensor, b: Tensor) -> float:
    """The largest one, element by element."""
    return (a - b).abs().max().item()
