"""A trained learner, found by its run folder, its learner file or its name, ready to be adapted without its data."""

from dataclasses import dataclass
from pathlib import Path

import torch

from fewstep import experiment, seeding
from fewstep import recipe as recipes
from fewstep.core import Meta
from fewstep.evaluation import at_test
from fewstep.journal import put_meta
from fewstep.learner import Learner, learner_of
from fewstep.learner_file import Packed, read_learner, shipped
from fewstep.nearest import nearest
from fewstep.recipe import Recipe
from fewstep.run_folder import read_header, read_selected
from fewstep.tasks.cache import data_root
from fewstep.tasks.preprocessing import Preprocessing


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
    """The learner of a run folder, of a learner file or, by its name, of the package.

    Data are read only for tasks that are no images. Raises `ValueError` where there is none, with the names that
    there are, and for a run that has learned nothing yet.
    """
    path = Path(source)
    if path.is_dir():
        return _of_run(path, device)
    if path.is_file():
        return _of(read_learner(path), path, device)
    names = shipped()
    if (found := names.get(str(source))) is not None:
        return _of(read_learner(found), found, device)
    there = f"the package has {', '.join(names)}{nearest(str(source), names)}" if names else "the package has none"
    raise ValueError(f"{source} is no run folder, no learner file and no learner's name: {there}")


def pack(folder: Path, accuracy: str) -> Packed:
    """What the learner file of a run holds.

    Raises `ValueError` for a folder without a run, or whose run has learned nothing yet.
    """
    header = read_header(folder)
    meta = read_selected(folder, recipes.identity_of(header["recipe"], header["seed"]))[1]
    return Packed(recipes.from_json(header["recipe"]), meta, accuracy)


def _of_run(folder: Path, device: torch.device | str) -> Trained:
    packed = pack(folder, "")
    if _preprocessing(packed.recipe) is not None:
        return _of(packed, folder, device)
    loaded = experiment.load(folder, data_root=data_root(), device=str(device))
    evaluation = packed.recipe.evaluation
    return Trained(
        recipe=packed.recipe, learner=at_test(experiment.trained(loaded), evaluation), steps=evaluation.steps
    )


def _of(packed: Packed, source: Path, device: torch.device | str) -> Trained:
    return Trained(
        recipe=packed.recipe,
        learner=_learner(packed.recipe, packed.meta, source, device),
        steps=packed.recipe.evaluation.steps,
        accuracy=packed.accuracy,
    )


def _learner(recipe: Recipe, meta: Meta, source: Path, device: torch.device | str) -> Learner:
    """The learner, its net built from what the recipe says of the images."""
    preprocessing = _preprocessing(recipe)
    if preprocessing is None:
        raise ValueError(f"{source} was trained on {type(recipe.train_tasks).__name__}, which are no images")
    with seeding.seeded(0, "net"):  # its numbers are overwritten
        net = recipe.net.build(preprocessing.inputs, _ways(recipe))
    learner = learner_of(net, recipe.algorithm, loss=recipe.loss, norm=recipe.norm).to("cpu")
    put_meta(learner, meta, source)
    return at_test(learner, recipe.evaluation).on(device)


def _preprocessing(recipe: Recipe) -> Preprocessing | None:
    found: Preprocessing | None = getattr(recipe.test_tasks, "preprocessing", None)
    return found


def _ways(recipe: Recipe) -> int:
    ways: int = getattr(recipe.train_tasks, "ways", 1)
    return ways
