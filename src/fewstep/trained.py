"""A trained learner, found by its run folder, its learner file or its name, ready to be adapted without its data."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fewstep import recipe as recipes
from fewstep import seeding
from fewstep.evaluation import at_test
from fewstep.journal import put_meta
from fewstep.learner import Learner, learner_of
from fewstep.learner_file import Packed, read_learner, shipped, shipped_for_values
from fewstep.nearest import nearest
from fewstep.rebuilding import built, built_of_file
from fewstep.recipe import NetSpec, Recipe, TaskSpec
from fewstep.run_folder import read_header, read_selected
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tasks.sinusoid import Sinusoid


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What was learned, as it is tested: at the inner rate and the steps of its recipe's evaluation."""

    recipe: Recipe
    learner: Learner
    steps: int
    """inner steps"""
    accuracy: str = ""
    """of models adapted from it in so many steps, where that is known"""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What images of its test tasks went through; None where they are none."""
        return _preprocessing(self.recipe)


def read_trained(
    source: str | Path, *, net: nn.Module | NetSpec | None = None, device: torch.device | str = "cpu"
) -> Trained:
    """The learner of a run folder, of a learner file or, by its name, of the package; no data are read.

    `net` is needed for a learner file that names a net by import path, which no file may have imported: an instance of
    it, or `Imported(path=...)`. A run folder is one's own, and its net is imported.

    Raises `ValueError` where there is none, with the names that there are, for a run that has learned nothing yet, and
    for a learner file whose net is not given.
    """
    path = Path(source)
    if path.is_dir():
        packed = pack(path, "")
        return _of(packed, path, device, packed.recipe.net if net is None else net)
    if path.is_file():
        return _of(read_learner(path), path, device, net)
    images, values = shipped(), shipped_for_values()
    if (found := (images | values).get(str(source))) is not None:
        return _of(read_learner(found), found, device, net)
    there = f"{', '.join(images)} for images, {', '.join(values)} for values"
    raise ValueError(
        f"{source} is no run folder, no learner file and no learner's name: the package has {there}"
        f"{nearest(str(source), [*images, *values])}"
    )


def untrained(recipe: Recipe) -> Learner:
    """The learner that a training of `recipe` on seed 0 begins with, as it would be tested."""
    with seeding.seeded(0, "net"):
        net = built(recipe.net, _inputs(recipe.test_tasks), _ways(recipe))
    return at_test(_initial(recipe, net), recipe.evaluation)


def pack(folder: Path, accuracy: str) -> Packed:
    """What the learner file of a run holds.

    Raises `ValueError` for a folder without a run, or whose run has learned nothing yet.
    """
    header = read_header(folder)
    meta = read_selected(folder, recipes.identity_of(header["recipe"], header["seed"]))[1]
    return Packed(recipes.from_run(header["recipe"]), meta, accuracy)


def _of(packed: Packed, source: Path, device: torch.device | str, given: nn.Module | NetSpec | None) -> Trained:
    recipe = packed.recipe
    with seeding.seeded(0, "net"):
        net = built_of_file(recipe.net, given, _inputs(recipe.test_tasks), _ways(recipe), source)
    learner = _initial(recipe, net)
    put_meta(learner, packed.meta, source)
    return Trained(
        recipe=recipe,
        learner=at_test(learner, recipe.evaluation).on(device),
        steps=packed.recipe.evaluation.steps,
        accuracy=packed.accuracy,
    )


def _initial(recipe: Recipe, net: nn.Module) -> Learner:
    """The learner at the start."""
    return learner_of(net, recipe.algorithm, loss=recipe.loss, norm=recipe.norm).to("cpu")


def _inputs(tasks: TaskSpec) -> tuple[int, ...]:
    return tasks.inputs if isinstance(tasks, Sinusoid) else tasks.preprocessing.inputs


def _preprocessing(recipe: Recipe) -> Preprocessing | None:
    found: Preprocessing | None = getattr(recipe.test_tasks, "preprocessing", None)
    return found


def _ways(recipe: Recipe) -> int:
    ways: int = getattr(recipe.train_tasks, "ways", 1)
    return ways
