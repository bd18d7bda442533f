"""What bends to points: learners that map x to y, and their curves after every inner step.

Letters: N points, M places of a curve.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fewstep.core import Examples
from fewstep.inner.loop import trajectory
from fewstep.learner import Learner
from fewstep.recipe import Recipe
from fewstep.tasks.sinusoid import Sinusoid, true_sinusoid

TASKS = Sinusoid()
"""Whose range of x the curves span."""
PLACES = 161


class Bent(NamedTuple):
    """Values `curves: [S, M]` and the mean squared error on the points, `losses: [S]`, after 0, 1, ... inner steps."""

    curves: Tensor
    losses: Tensor


class Drawn(NamedTuple):
    """Points of a sinusoid, and its values `truth: [M]`."""

    points: Examples
    truth: Tensor


def places() -> Tensor:
    """The x of every curve, `[M, 1]`."""
    return torch.linspace(*TASKS.x, PLACES)[:, None]


def bend(learner: Learner, points: Examples, steps: int) -> Bent:
    """The learner's curve while it adapts to `points`, x and y `[N, 1]`; cut before the first that is not finite."""
    path = trajectory(learner.algorithm, learner.model, learner.meta, points, steps)
    x = torch.cat([points.x, places()])
    values = torch.stack([learner.predict(phi, x).detach() for phi in path]).squeeze(-1).double()
    values = values[: int(values.isfinite().all(dim=1).cumprod(0).sum())]
    at_points, curves = values[:, :-PLACES], values[:, -PLACES:]
    return Bent(curves, (at_points - points.y.squeeze(-1)).square().mean(dim=1))


def draw_sinusoid(seed: int, count: int) -> Drawn:
    """`count` points of a random sinusoid, as MAML's paper draws them."""
    task = Sinusoid(shots=count).sample(seed, "play", 0, 1).select(0)
    return Drawn(task.support, true_sinusoid(task, places()).squeeze(-1))


def was_trained_on_points(recipe: Recipe) -> bool:
    """Whether a recipe's learner maps the x of points to their y."""
    return isinstance(recipe.test_tasks, Sinusoid)
