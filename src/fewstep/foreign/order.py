"""The derivative order of a foreign meta-gradient, and the parameters that none reaches."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fewstep import seeding
from fewstep.card import Check
from fewstep.core import Params, Task
from fewstep.derivative_order import (
    AGREE,
    central_difference,
    inner_product,
    relative_error,
    told_order,
    unit_direction,
)
from fewstep.foreign.bench import Bench

DEPENDS = 1e-5
"""Difference quotient of a loss, along a unit direction in float64, from which on it depends on what was moved; that
along a bias before a batch norm, which is zero, was seen as 1e-7."""
FLOOR = 1e-2
"""Size of a derivative below which differences say nothing of its relative error, for the same reason."""
NAMED = 5
"""Parameters that a finding names before it counts the rest."""

Gradient = dict[str, Tensor | None]


def check_order(
    bench: Bench, tasks: list[Task], gradients: list[Gradient], seed: int
) -> tuple[Literal[1, 2] | None, Check]:
    """Directional differences of the true outer loss, and of the loss with φ moved rigidly, against `.grad`."""
    claimed = bench.foreign.order
    reached = [name for name in bench.named if not _is_missing(name, gradients)]
    if claimed is None:
        told = "none: this code is said to follow no derivative of the query loss"
        return None, Check("derivative order", "note", told)
    if not reached:
        return None, Check("derivative order", "wrong", "none: the backward pass leaves no gradient anywhere")
    generator = torch.Generator().manual_seed(seeding.torch_seed(seed, "audit/direction"))
    rigid = bench.rigid_loss(tasks[0])
    seen = [name for name in reached if _depends(rigid, bench.theta, [name], generator)]
    measured = _derivatives(bench, tasks, gradients, seen or reached, generator)
    second = _error(measured, bench.true_loss, bench.theta)
    if not seen:
        return _told_without_phi(second, claimed)
    order, check = told_order(_error(measured, bench.rigid_loss, bench.theta), second, claimed)
    others = [name for name in reached if name not in seen]
    beside = _derivatives(bench, tasks, gradients, others, generator) if order == 2 and others else []
    if beside and (error := _error(beside, bench.true_loss, bench.theta, FLOOR)) > AGREE:
        found = f"the gradient of {_listed(others)} is wrong (error against finite differences {error:.0e})"
        return order, Check("derivative order", "wrong", f"{check.finding}; {found}")
    return order, check


def _told_without_phi(second: float, claimed: int) -> tuple[Literal[1, 2] | None, Check]:
    """Where nothing that `adapt` returns can be moved, first order cannot be told from wrong."""
    evidence = f"error against finite differences: second order {second:.0e}"
    if second < AGREE:
        if claimed == 2:
            return 2, Check("derivative order", "ok", f"2, measured ({evidence})")
        return 2, Check("derivative order", "wrong", f"2 measured, {claimed} claimed ({evidence})")
    unseen = "first order or wrong cannot be told, for adapt returns neither a module nor named or listed tensors"
    return None, Check("derivative order", "wrong" if claimed == 2 else "note", f"not 2: {unseen} ({evidence})")


def check_gradients(bench: Bench, tasks: list[Task], gradients: list[Gradient], seed: int) -> Check:
    """Parameters without a gradient: cut off where the outer loss depends on them all the same, else unused."""
    generator = torch.Generator().manual_seed(seeding.torch_seed(seed, "audit/missing"))
    missing = [name for name in bench.named if _is_missing(name, gradients)]
    cut = [
        name
        for name in missing
        if any(_depends(bench.true_loss(task), bench.theta, [name], generator) for task in tasks)
    ]
    found = []
    for names, words in (
        (cut, "cut off from the loss, which depends on them, as by a detach"),
        ([name for name in missing if name not in cut], "unused"),
    ):
        for kind, is_none in (("None", True), ("zero", False)):
            mine = [n for n in names if all(gradient[n] is None for gradient in gradients) == is_none]
            found += [f"{kind} for {_listed(mine)}: {words}"] if mine else []
    if cut:
        return Check("gradients", "wrong", "; ".join(found))
    return Check("gradients", "note" if found else "ok", "; ".join(found) or "every parameter has one")


class _Derivative(NamedTuple):
    """What `.grad` says of the derivative of a task's loss along a direction."""

    task: Task
    direction: Params
    value: float


def _derivatives(
    bench: Bench, tasks: list[Task], gradients: list[Gradient], names: list[str], generator: torch.Generator
) -> list[_Derivative]:
    """One for each task, along a random direction in which `names` alone move."""
    found = []
    for task, gradient in zip(tasks, gradients, strict=True):
        direction = _along(bench.theta, names, generator)
        present = {name: value for name in names if (value := gradient[name]) is not None}
        found.append(_Derivative(task, direction, inner_product(present, direction)))
    return found


def _error(
    derivatives: list[_Derivative],
    loss_of: Callable[[Task], Callable[[Params], float]],
    theta: Params,
    floor: float = 1e-12,
) -> float:
    """The relative error when taken for derivatives of these losses; the median over tasks."""
    errors = [
        relative_error(value, central_difference(loss_of(task), theta, direction), floor)
        for task, direction, value in derivatives
    ]
    return torch.tensor(errors, dtype=torch.float64).median().item()


def _depends(loss: Callable[[Params], float], theta: Params, names: list[str], generator: torch.Generator) -> bool:
    """Whether a loss depends on the parameters `names`."""
    return abs(central_difference(loss, theta, _along(theta, names, generator))) > DEPENDS


def _along(theta: Params, names: list[str], generator: torch.Generator) -> Params:
    """A random unit direction in which these parameters alone move."""
    direction = unit_direction({name: theta[name] for name in names}, generator)
    return {name: direction.get(name, torch.zeros_like(value)) for name, value in theta.items()}


def _is_missing(name: str, gradients: list[Gradient]) -> bool:
    return not any(value is not None and value.any() for value in (gradient[name] for gradient in gradients))


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest
