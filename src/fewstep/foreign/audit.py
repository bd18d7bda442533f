"""The audit of anybody's code: the card of our own, measured from outside."""

from collections.abc import Callable
from typing import Any, Literal

import torch

from fewstep import seeding
from fewstep.auditing import (
    SAME,
    TASKS,
    changes_with_other_queries,
    check_copies,
    check_splits,
    check_support_order,
    difference,
)
from fewstep.card import Card, Check
from fewstep.core import Examples, Task
from fewstep.foreign.bench import Bench, on_bench
from fewstep.foreign.learner import Foreign
from fewstep.foreign.order import check_gradients, check_order
from fewstep.tasks.splits import Splits
from fewstep.tasks.strokes import Strokes

OWN_TASKS = Strokes(queries=2, train_alphabets=2, val_alphabets=1, test_alphabets=1)
"""5-way 1-shot, images `[1, 28, 28]`, for who gives no tasks."""

TaskMaker = Callable[[], Any]
"""Makes one task anew at every call: a `Task`, or (support, query), each `Examples` or (x, y)."""


def audit_foreign(foreign: Foreign, tasks: Splits | TaskMaker | None = None, *, seed: int = 0) -> Card:
    """Measure what foreign code really does, in float64 on a few tasks; everything is put back as it was.

    Code that does not run in float64 leaves one note in place of what was to be measured. Errors that it raises in its
    own precision are its own, and come through.
    """
    like = next(iter(foreign.named().values()))
    drawn, splits = _drawn(tasks, seed)
    with on_bench(foreign) as bench:
        one = drawn[0].to(like.device, like.dtype)
        _check_outputs(bench.logits(one.support, one.query.x), one)
    exact = [task.to(like.device, torch.float64) for task in drawn]
    try:
        with on_bench(foreign, torch.float64) as bench:
            order, checks = _measured(bench, exact, seed)
    except RuntimeError as error:
        found = str(error).partition("\n")[0]
        order, checks = None, [Check("derivative order", "note", f"not measured, the code fails in float64: {found}")]
    return Card(order=order, checks=[*checks, check_copies(exact), splits])


def _measured(bench: Bench, tasks: list[Task], seed: int) -> tuple[Literal[1, 2] | None, list[Check]]:
    state, is_repeatable = _check_state(bench, tasks)
    if not is_repeatable:
        told = "not measured, nor is the rest: two runs of this code differ, see state"
        return None, [Check("derivative order", "note", told), state]
    outcomes = [bench.gradient(task) for task in tasks]
    gradients = [gradient for gradient, _ in outcomes]
    order, order_check = check_order(bench, tasks, gradients, seed)
    return order, [
        order_check,
        check_gradients(bench, tasks, gradients, seed),
        _check_transduction(bench, tasks),
        _check_label_leak(bench, tasks, [logits for _, logits in outcomes]),
        check_support_order(bench.logits, tasks),
        state,
    ]


def _check_state(bench: Bench, tasks: list[Task]) -> tuple[Check, bool]:
    """Whether adaptation moves the parameters it was given, or leaves anything that the next one finds."""
    task, other = tasks[:2]
    bench.put()
    before = bench.outputs(bench.adapted_here(task.support), task.query.x)
    has_statistics = bench.changed_buffers()
    if moved := bench.changed():
        bench.put()
    bench.outputs(bench.adapted_here(other.support), other.query.x)
    if moved:
        bench.put()
    change = difference(before, bench.outputs(bench.adapted_here(task.support), task.query.x))
    found = [f"adapting changes the parameters it was given: {', '.join(moved)}"] if moved else []
    if change > SAME:
        found.append(f"predictions change (by {change:.1e}) when another task has been adapted to in between")
    if found:
        return Check("state", "wrong", "; ".join(found)), change <= SAME
    if has_statistics:
        told = "buffers change, as running statistics do in training mode; no prediction that was tried depends on them"
        return Check("state", "note", told), True
    return Check("state", "ok", "adapting leaves nothing behind"), True


def _check_transduction(bench: Bench, tasks: list[Task]) -> Check:
    change = max(changes_with_other_queries(bench.logits, tasks))
    if change <= SAME:
        return Check("transduction", "ok", "each query's prediction is its own")
    if bench.foreign.transductive:
        return Check("transduction", "note", "transductive, as declared")
    told = (
        f"predictions depend on the other queries (by {change:.1e}), as under batch norm in training mode; predict in "
        f"evaluation mode, or declare transductive=True"
    )
    return Check("transduction", "leak", told)


def _check_label_leak(bench: Bench, tasks: list[Task], logits: list[torch.Tensor | None]) -> Check:
    """The logits that `backward` tells of while the query labels are in reverse order."""
    if bench.foreign.backward is None:
        return Check("query labels", "ok", "adapt and predict are given none")
    changes = []
    for task, before in zip(tasks, logits, strict=True):
        after = bench.gradient(Task(task.support, Examples(task.query.x, task.query.y.flip(0))))[1]
        if before is None or after is None:
            return Check("query labels", "note", "not measured: backward does not return its query logits")
        changes.append(difference(before, after))
    if max(changes) > SAME:
        return Check("query labels", "leak", f"predictions depend on the query labels (by {max(changes):.1e})")
    return Check("query labels", "ok", "permuting them changes no prediction")


def _drawn(tasks: Splits | TaskMaker | None, seed: int) -> tuple[list[Task], Check]:
    """A few tasks, and what is to be said of the splits they come from."""
    if isinstance(tasks, Splits):
        batch = tasks.train.sample(seed, "audit", 0, TASKS)
        return [batch.select(i) for i in range(TASKS)], check_splits(tasks)
    if tasks is None:
        told = "not checked: these are tasks of the embedded alphabets; pass your own as `tasks`"
        return _drawn(OWN_TASKS.build(), seed)[0], Check("splits", "note", told)
    if not callable(tasks):
        raise ValueError(f"tasks is a {type(tasks).__name__}, expected built splits or a function that makes a task")
    with seeding.seeded(seed, "audit"):
        made = [Task(*(Examples(*part) for part in tasks())) for _ in range(TASKS)]
    return made, Check("splits", "note", "not checked: a function that makes tasks has no class lists")


def _check_outputs(outputs: torch.Tensor, task: Task) -> None:
    if len(outputs) != len(task.query.y) or outputs.dim() != 2:
        raise ValueError(
            f"predict returned the shape {list(outputs.shape)} for {len(task.query.y)} queries, expected "
            f"[{len(task.query.y)}, ways], or [{len(task.query.y)}, D]"
        )
