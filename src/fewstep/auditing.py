"""The audit: what a learner really does, measured in float64 on a few tasks, not read off its settings."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.card import Card, Check
from fewstep.core import Examples, Meta, MetaGradient, Params, Task, map_tensors
from fewstep.inner.loop import adapt
from fewstep.learner import Learner
from fewstep.tasks.splits import Splits

STEP = 1e-6
"""Half the distance of the two points of a central difference, along a unit direction, in float64."""
AGREE = 1e-3
"""Relative error below which a directional derivative counts as matched; the two orders differ by far more."""
SAME = 1e-9
"""Largest difference of float64 logits that counts as none."""
TASKS = 4


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
    exact = learner.to("cpu", torch.float64).for_evaluation()
    batch = splits.train.sample(seed, "audit", 0, TASKS).to("cpu", torch.float64)
    tasks = [batch.select(i) for i in range(TASKS)]
    outcomes = [exact.algorithm.meta_gradient(exact.model, exact.meta, task, 0) for task in tasks]
    order, order_check = _check_order(exact, tasks, outcomes, seed)
    return order, [
        order_check,
        _check_gradients(exact, outcomes),
        _check_transduction(exact, tasks),
        _check_label_leak(exact, tasks, outcomes),
        _check_support_order(exact, tasks),
        _check_copies(tasks),
    ]


def _check_order(
    learner: Learner, tasks: list[Task], outcomes: list[MetaGradient], seed: int
) -> tuple[Literal[1, 2] | None, Check]:
    """Directional finite differences of the true outer loss, and of the loss with φ moved rigidly with θ."""
    theta = learner.meta.learned["theta"]
    generator = torch.Generator().manual_seed(seeding.torch_seed(seed, "audit/direction"))
    errors = torch.zeros(len(tasks), 2, dtype=torch.float64)
    for i, (task, outcome) in enumerate(zip(tasks, outcomes, strict=True)):
        direction = _unit_direction(theta, generator)
        found = _inner_product(outcome.gradient["theta"], direction)
        errors[i, 0] = _relative_error(found, _central_difference(_rigid_loss(learner, task), theta, direction))
        errors[i, 1] = _relative_error(found, _central_difference(_true_loss(learner, task), theta, direction))
    first, second = errors.median(dim=0).values.tolist()
    claimed = getattr(learner.algorithm, "order", None)
    evidence = f"error against finite differences: second order {second:.0e}, first order {first:.0e}"
    if max(first, second) < AGREE:
        return None, Check("derivative order", "note", f"cannot be told: both orders agree here ({evidence})")
    order: Literal[1, 2] | None = 2 if second < AGREE else 1 if first < AGREE else None
    if order is None:
        return None, Check(
            "derivative order", "wrong", f"neither first nor second order: the gradient is wrong ({evidence})"
        )
    if claimed not in (None, order):
        return order, Check("derivative order", "wrong", f"{order} measured, {claimed} claimed ({evidence})")
    return order, Check("derivative order", "ok", f"{order}, measured ({evidence})")


def _true_loss(learner: Learner, task: Task) -> Callable[[Params], float]:
    """θ ↦ L_query(φ(θ))."""
    steps = learner.algorithm.inner_steps

    def loss(theta: Params) -> float:
        meta = Meta({**learner.meta.learned, "theta": theta}, learner.meta.state)
        return _query_loss(learner, adapt(learner.algorithm, learner.model, meta, task.support, steps), task)

    return loss


def _rigid_loss(learner: Learner, task: Task) -> Callable[[Params], float]:
    """θ ↦ L_query(φ + (θ − θ₀)): its derivative is the first-order meta-gradient."""
    start = learner.meta.learned["theta"]
    phi = learner.adapt(task.support)

    def loss(theta: Params) -> float:
        moved = {name: phi[name] + theta[name] - start[name] for name in theta}
        return _query_loss(learner, learner.model.settle(moved, task.support.x), task)

    return loss


def _query_loss(learner: Learner, phi: Params, task: Task) -> float:
    return learner.model.loss(learner.predict(phi, task.query.x), task.query.y).item()


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
        logits = learner.algorithm.meta_gradient(learner.model, learner.meta, reversed_labels, 0).logits
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
