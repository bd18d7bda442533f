"""The derivative order that a meta-gradient has, measured by finite differences of the outer loss."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch

from fewstep import seeding
from fewstep.card import Check
from fewstep.core import Meta, MetaGradient, Params, Task, map_tensors
from fewstep.inner.loop import inner_states
from fewstep.learner import Learner

STEP = 1e-6
"""Half the distance of the two points of a central difference, along a unit direction, in float64."""
AGREE = 1e-3
"""Relative error below which a directional derivative counts as matched; the two orders differ by far more."""
LAST = 10**9
"""An update after which nothing is annealed any more."""


def outcome_of(learner: Learner, task: Task, update: int) -> MetaGradient:
    """The learner's meta-gradient on one task."""
    return learner.algorithm.meta_gradient(learner.model, learner.meta, task, update)


def check_order(learner: Learner, tasks: list[Task], seed: int) -> tuple[Literal[1, 2] | None, Check]:
    """The order at the first update, and in the end where an annealing makes that another one."""
    algorithm = learner.algorithm
    if algorithm.order_at(LAST) is None:
        told = "none: what this algorithm follows is no derivative of the query loss after its inner steps"
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
        direction = unit_direction(theta, generator)
        found = inner_product(outcome_of(learner, task, update).gradient["theta"], direction)
        for column, loss in enumerate((_rigid_loss(learner, task, weights), _true_loss(learner, task, weights))):
            errors[i, column] = relative_error(found, central_difference(loss, theta, direction))
    first, second = errors.median(dim=0).values.tolist()
    claimed = learner.algorithm.order_at(update)
    if claimed == 2 and second < AGREE and learner.algorithm.makes_head and len(weights) == 1:
        through = f"error against finite differences {second:.0e}, with the head held fixed {first:.0e}"
        told = f"2, measured: the whole gradient of the query loss, through the head ({through})"
        return _Measured(2, Check("derivative order", "ok", told))
    return _Measured(*told_order(first, second, claimed))


def told_order(first: float, second: float, claimed: int | None) -> tuple[Literal[1, 2] | None, Check]:
    """The order that a gradient has, by its relative errors when taken for first and for second order."""
    evidence = f"error against finite differences: second order {second:.0e}, first order {first:.0e}"
    if max(first, second) < AGREE:
        told = f"cannot be told: both orders agree here ({evidence})"
        return None, Check("derivative order", "note", told)
    order: Literal[1, 2] | None = 2 if second < AGREE else 1 if first < AGREE else None
    if order is None:
        told = f"neither first nor second order: the gradient is wrong ({evidence})"
        return None, Check("derivative order", "wrong", told)
    if claimed != order:
        told = f"{order} measured, {claimed} claimed ({evidence})"
        return order, Check("derivative order", "wrong", told)
    return order, Check("derivative order", "ok", f"{order}, measured ({evidence})")


def _true_loss(learner: Learner, task: Task, weights: Sequence[float]) -> Callable[[Params], float]:
    """θ ↦ Σ_i w_i L_query(φ_i(θ))."""

    def loss(theta: Params) -> float:
        meta = Meta({**learner.meta.learned, "theta": theta}, learner.meta.state)
        path = inner_states(learner.algorithm, learner.model, meta, task.support, len(weights) - 1)
        return _weighted_loss(learner, [inner.phi for inner in path], task, weights)

    return loss


def _rigid_loss(learner: Learner, task: Task, weights: Sequence[float]) -> Callable[[Params], float]:
    """θ ↦ Σ_i w_i L_query(φ_i + φ_0(θ) − φ_0(θ₀)): its derivative is the first-order meta-gradient.

    Where no step follows φ_0, a head that is made of the support set stays as it is at θ₀.
    """
    path = inner_states(learner.algorithm, learner.model, learner.meta, task.support, len(weights) - 1)
    start = path[0].phi

    def loss(theta: Params) -> float:
        meta = Meta({**learner.meta.learned, "theta": theta}, learner.meta.state)
        now = theta if len(weights) == 1 else learner.algorithm.start(learner.model, meta, task.support).phi
        moved = [{**inner.phi, **{n: inner.phi[n] + now[n] - start[n] for n in now}} for inner in path]
        return _weighted_loss(learner, moved, task, weights)

    return loss


def _weighted_loss(learner: Learner, path: list[Params], task: Task, weights: Sequence[float]) -> float:
    total = 0.0
    for i, (phi, weight) in enumerate(zip(path, weights, strict=True)):
        if weight > 0:
            settled = learner.model.settle(phi, task.support.x, learner.meta.state, i)
            total += weight * learner.model.loss(learner.predict(settled, task.query.x), task.query.y).item()
    return total


def central_difference(loss: Callable[[Params], float], theta: Params, direction: Params) -> float:
    """The derivative of `loss` at `theta` along `direction`."""
    ahead = map_tensors(lambda value, d: value + STEP * d, theta, direction)
    behind = map_tensors(lambda value, d: value - STEP * d, theta, direction)
    return (loss(ahead) - loss(behind)) / (2 * STEP)


def unit_direction(theta: Params, generator: torch.Generator) -> Params:
    """A random direction of length 1."""
    drawn = {
        name: torch.randn(value.shape, generator=generator, dtype=value.dtype).to(value.device)
        for name, value in theta.items()
    }
    norm = inner_product(drawn, drawn) ** 0.5
    return {name: value / norm for name, value in drawn.items()}


def inner_product(a: Params, b: Params) -> float:
    """Over the names of `a`."""
    return sum((a[name] * b[name]).sum().item() for name in a)


def relative_error(found: float, expected: float, floor: float = 1e-12) -> float:
    """The difference by the larger of the two, or by `floor` where both are smaller."""
    return abs(found - expected) / max(abs(found), abs(expected), floor)
