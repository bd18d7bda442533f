"""A trained learner, found by its run folder, its learner file or its name, ready to be adapted without its data."""

from dataclasses import dataclass
from pathlib import Path

import torch

from fewstep import recipe as recipes
from fewstep import seeding
from fewstep.core import Meta
from fewstep.evaluation import at_test
from fewstep.journal import put_meta
from fewstep.learner import Learner, learner_of
from fewstep.learner_file import Packed, read_learner, shipped, shipped_for_values
from fewstep.nearest import nearest
from fewstep.recipe import Recipe, TaskSpec
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


def read_trained(source: str | Path, *, device: torch.device | str = "cpu") -> Trained:
    """The learner of a run folder, of a learner file or, by its name, of the package; no data are read.

    Raises `ValueError` where there is none, with the names that there are, and for a run that has learned nothing yet.
    """
    path = Path(source)
    if path.is_dir():
        return _of(pack(path, ""), path, device)
    if path.is_file():
        return _of(read_learner(path), path, device)
    images, values = shipped(), shipped_for_values()
    if (found := (images | values).get(str(source))) is not None:
        return _of(read_learner(found), found, device)
    there = f"{', '.join(images)} for images, {', '.join(values)} for values"
    raise ValueError(
        f"{source} is no run folder, no learner file and no learner's name: the package has {there}"
        f"{nearest(str(source), [*images, *values])}"
    )


def untrained(recipe: Recipe) -> Learner:
    """The learner that a training of `recipe` on seed 0 begins with, as it would be tested."""
    return at_test(_initial(recipe), recipe.evaluation)


def pack(folder: Path, accuracy: str) -> Packed:
    """What the learner file of a run holds.

    Raises `ValueError` for a folder without a run, or whose run has learned nothing yet.
    """
    header = read_header(folder)
    meta = read_selected(folder, recipes.identity_of(header["recipe"], header["seed"]))[1]
    return Packed(recipes.from_json(header["recipe"]), meta, accuracy)


def _of(packed: Packed, source: Path, device: torch.device | str) -> Trained:
    return Trained(
        recipe=packed.recipe,
        learner=_learner(packed.recipe, packed.meta, source, device),
        steps=packed.recipe.evaluation.steps,
        accuracy=packed.accuracy,
    )


def _learner(recipe: Recipe, meta: Meta, source: Path, device: torch.device | str) -> Learner:
    learner = _initial(recipe)
    put_meta(learner, meta, source)
    return at_test(learner, recipe.evaluation).on(device)


def _initial(recipe: Recipe) -> Learner:
    """The learner at the start, its net built from what the recipe says of its tasks."""
    with seeding.seeded(0, "net"):
        net = recipe.net.build(_inputs(recipe.test_tasks), _ways(recipe))
    return learner_of(net, recipe.algorithm, loss=recipe.loss, norm=recipe.norm).to("cpu")


def _inputs(tasks: TaskSpec) -> tuple[int, ...]:
    return tasks.inputs if isinstance(tasks, Sinusoid) else tasks.preprocessing.inputs


def _preprocessing(recipe: Recipe) -> Preprocessing | None:
    found: Preprocessing | None = getattr(recipe.test_tasks, "preprocessing", None)
    return found


def _ways(recipe: Recipe) -> int:
    ways: int = getattr(recipe.train_tasks, "ways", 1)
    return ways
