"""What bends to points: learners that map x to y, and their curves after every inner step.

Letters: N points, M places of a curve.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fewstep import recipe as recipes
from fewstep.core import Examples
from fewstep.inner.loop import trajectory
from fewstep.learner import Learner
from fewstep.learner_file import SUFFIX, read_learner
from fewstep.recipe import Recipe
from fewstep.run_folder import RECIPE, read_header
from fewstep.tasks.sinusoid import Sinusoid, true_sinusoid
from fewstep.trained import read_trained

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


def own_learners(folder: Path) -> list[str]:
    """The names of the run folders and learner files in `folder` that were trained on points of sinusoids."""
    return sorted(path.name for path in _inside(folder) if _was_trained_on_points(path))


def read_own(folder: Path, name: str) -> Learner | None:
    """The learner of that name, as `adapt` uses it, if it is one of them.

    Raises `ValueError` for one that has learned nothing yet.
    """
    found = next((path for path in _inside(folder) if path.name == name), None)
    if found is None or not _was_trained_on_points(found):
        return None
    return read_trained(found).learner.each_alone().for_evaluation()


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _was_trained_on_points(path: Path) -> bool:
    try:
        recipe = _recipe(path)
    except (ValueError, OSError):
        return False
    return recipe is not None and isinstance(recipe.test_tasks, Sinusoid)


def _recipe(path: Path) -> Recipe | None:
    if path.suffix == SUFFIX:
        return read_learner(path).recipe
    return recipes.from_json(read_header(path)["recipe"]) if (path / RECIPE).is_file() else None
