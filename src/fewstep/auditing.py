"""The audit: what a learner really does, measured in float64 on a few tasks, not read off its settings."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.card import Card, Check
from fewstep.core import Examples, Meta, MetaGradient, Params, Task, map_tensors
from fewstep.inner.loop import inner_states
from fewstep.learner import Learner
from fewstep.tasks.splits import Splits

STEP = 1e-6
"""Half the distance of the two points of a central difference, along a unit direction, in float64."""
AGREE = 1e-3
"""Relative error below which a directional derivative counts as matched; the two orders differ by far more."""
SAME = 1e-9
"""Largest difference of float64 logits that counts as none."""
TASKS = 4
LAST = 10**9
"""An update after which nothing is annealed any more."""


def audit(learner: Learner, splits: Splits, *, seed: int = 0) -> Card:
    """Measure `learner` on a few training tasks, and the class lists of its splits. Changes nothing.

    A net that does not run in float64 leaves one note in place of what was to be measured.
    """
    try:
        order, checks = _measured(learner, splits, seed)
    except RuntimeError as error:
        found = str(error).partition("\n")[0]
        order, checks = None, [Check("derivative order", "note", f"not measured, the net fails in float64: {found}")]
    return Card(order=order, checks=[*checks, _check_splits(splits)])


def _measured(learner: Learner, splits: Splits, seed: int) -> tuple[Literal[1, 2] | None, list[Check]]:
    exact = learner.to("cpu", torch.float64)
    trained = dataclasses.replace(exact, model=exact.model.without_dropout())
    tested = exact.for_evaluation()
    batch = splits.train.sample(seed, "audit", 0, TASKS).to("cpu", torch.float64)
    tasks = [batch.select(i) for i in range(TASKS)]
    outcomes = [_outcome(trained, task, LAST) for task in tasks]
    order, order_check = _check_order(trained, tasks, seed)
    return order, [
        order_check,
        _check_gradients(trained, outcomes),
        _check_transduction(tested, tasks),
        _check_label_leak(trained, tasks, outcomes),
        _check_support_order(tested, tasks),
        _check_copies(tasks),
    ]


def _outcome(learner: Learner, task: Task, update: int) -> MetaGradient:
    return learner.algorithm.meta_gradient(learner.model, learner.meta, task, update)


def _check_order(learner: Learner, tasks: list[Task], seed: int) -> tuple[Literal[1, 2] | None, Check]:
    """The order at the first update, and in the end where an annealing makes that another one."""
    algorithm = learner.algorithm
    if algorithm.order_at(LAST) is None:
        told = "none: this algorithm moves θ towards φ, which is no gradient of the query loss"
        return None, Check("derivative order", "note", told)
    first, last = ((algorithm.order_at(update), algorithm.loss_weights(update)) for update in (0, LAST))
    phases = {"": LAST} if first == last else {"at the start: ": 0, "in the end: ": LAST}
    measured = [(words, _measure_order(learner, tasks, seed, update)) for words, update in phases.items()]
    worst = next((found for _, found in measured if found.check.verdict == "wrong"), measured[-1][1])
    finding = "; ".join(words + found.check.finding for words, found in measured)
    return measured[-1][1].order, Check("derivative order", worst.check.verdict, finding)


class _Measured(NamedTuple):
    order: Literal[1, 2] | None
    check: Check


def _measure_order(learner: Learner, tasks: list[Task], seed: int, update: int) -> _Measured:
    """Directional finite differences of the true outer loss, and of the loss with φ moved rigidly with θ."""
    theta = learner.meta.learned["theta"]
    weights = learner.algorithm.loss_weights(update)
    generator = torch.Generator().manual_seed(seeding.torch_seed(seed, "audit/direction"))
    errors = torch.zeros(len(tasks), 2, dtype=torch.float64)
    for i, task in enumerate(tasks):
        direction = _unit_direction(theta, generator)
        found = _inner_product(_outcome(learner, task, update).gradient["theta"], direction)
        for column, loss in enumerate((_rigid_loss(learner, task, weights), _true_loss(learner, task, weights))):
            errors[i, column] = _relative_error(found, _central_difference(loss, theta, direction))
    first, second = errors.median(dim=0).values.tolist()
    claimed = learner.algorithm.order_at(update)
    evidence = f"error against finite differences: second order {second:.0e}, first order {first:.0e}"
    if max(first, second) < AGREE:
        told = f"cannot be told: both orders agree here ({evidence})"
        return _Measured(None, Check("derivative order", "note", told))
    order: Literal[1, 2] | None = 2 if second < AGREE else 1 if first < AGREE else None
    if order is None:
        told = f"neither first nor second order: the gradient is wrong ({evidence})"
        return _Measured(None, Check("derivative order", "wrong", told))
    if claimed != order:
        told = f"{order} measured, {claimed} claimed ({evidence})"
        return _Measured(order, Check("derivative order", "wrong", told))
    return _Measured(order, Check("derivative order", "ok", f"{order}, measured ({evidence})"))


def _true_loss(learner: Learner, task: Task, weights: Sequence[float]) -> Callable[[Params], float]:
    """θ ↦ Σ_i w_i L_query(φ_i(θ))."""

    def loss(theta: Params) -> float:
        meta = Meta({**learner.meta.learned, "theta": theta}, learner.meta.state)
        path = inner_states(learner.algorithm, learner.model, meta, task.support, len(weights) - 1)
        return _weighted_loss(learner, [inner.phi for inner in path], task, weights)

    return loss


def _rigid_loss(learner: Learner, task: Task, weights: Sequence[float]) -> Callable[[Params], float]:
    """θ ↦ Σ_i w_i L_query(φ_i + (θ − θ₀)): its derivative is the first-order meta-gradient."""
    start = learner.meta.learned["theta"]
    path = inner_states(learner.algorithm, learner.model, learner.meta, task.support, len(weights) - 1)

    def loss(theta: Params) -> float:
        moved = [{**inner.phi, **{n: inner.phi[n] + theta[n] - start[n] for n in theta}} for inner in path]
        return _weighted_loss(learner, moved, task, weights)

    return loss


def _weighted_loss(learner: Learner, path: list[Params], task: Task, weights: Sequence[float]) -> float:
    total = 0.0
    for i, (phi, weight) in enumerate(zip(path, weights, strict=True)):
        if weight > 0:
            settled = learner.model.settle(phi, task.support.x, learner.meta.state, i)
            total += weight * learner.model.loss(learner.predict(settled, task.query.x), task.query.y).item()
    return total


def _central_difference(loss: Callable[[Params], float], theta: Params, direction: Params) -> float:
    ahead = map_tensors(lambda value, d: value + STEP * d, theta, direction)
    behind = map_tensors(lambda value, d: value - STEP * d, theta, direction)
    return (loss(ahead) - loss(behind)) / (2 * STEP)


def _unit_direction(theta: Params, generator: torch.Generator) -> Params:
    drawn = {name: torch.randn(value.shape, generator=generator, dtype=value.dtype) for name, value in theta.items()}
    norm = _inner_product(drawn, drawn) ** 0.5
    return {name: value / norm for name, value in drawn.items()}


def _inner_product(a: Params, b: Params) -> float:
    return sum((a[name] * b[name]).sum().item() for name in a)


def _relative_error(found: float, expected: float) -> float:
    return abs(found - expected) / max(abs(found), abs(expected), 1e-12)


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


def _check_transduction(learner: Learner, tasks: list[Task]) -> Check:
    """The first query's logits while the other queries are replaced by another task's."""

    def first_logits(task: Task, others: Tensor) -> Tensor:
        phi = learner.adapt(task.support)
        return learner.predict(phi, torch.cat([task.query.x[:1], others]))[0]

    changes = [
        _difference(first_logits(task, task.query.x[1:]), first_logits(task, other.query.x[1:]))
        for task, other in zip(tasks, tasks[1:] + tasks[:1], strict=True)
    ]
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
        logits = _outcome(learner, reversed_labels, LAST).logits
        changes.append(_difference(outcome.logits, logits))
    if max(changes) > SAME:
        return Check("query labels", "leak", f"predictions depend on the query labels (by {max(changes):.1e})")
    return Check("query labels", "ok", "permuting them changes no prediction")


def _check_support_order(learner: Learner, tasks: list[Task]) -> Check:
    """The logits while the support set is in reverse order."""
    changes = []
    for task in tasks:
        reversed_support = Examples(task.support.x.flip(0), task.support.y.flip(0))
        logits, permuted = (
            learner.predict(learner.adapt(support), task.query.x) for support in (task.support, reversed_support)
        )
        changes.append(_difference(logits, permuted))
    if max(changes) > SAME:
        return Check(
            "support order", "note", f"predictions depend on the order of the support set ({max(changes):.1e})"
        )
    return Check("support order", "ok", "does not matter")


def _check_copies(tasks: list[Task]) -> Check:
    copies = 0
    for task in tasks:
        same = (task.query.x.flatten(1)[:, None] == task.support.x.flatten(1)[None]).all(-1)
        copies += int(same.any(1).sum())
    if copies:
        return Check("copies", "leak", f"{copies} queries of {len(tasks)} tasks are also in their support set")
    return Check("copies", "ok", "no query is in its support set")


def _check_splits(splits: Splits) -> Check:
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


def _difference(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()
