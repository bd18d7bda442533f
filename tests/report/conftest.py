"""Two tiny runs, trained once for all the tests of reports."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import pytest

from fewstep import experiment, recipes
from fewstep.evaluation import Evaluation
from fewstep.experiment import Experiment
from fewstep.learner import Learner
from fewstep.mapping import Mapping
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.report import page
from fewstep.tasks.strokes import Strokes
from fewstep.training import Training
from run_builders import FEW_ALPHABETS

TRAINING = Training(updates=6, meta_batch=2, validate_every=3, validation_tasks=4, checkpoint_every=3)
STROKES = Strokes(ways=3, shots=1, queries=2, **FEW_ALPHABETS)


class Trained(NamedTuple):
    """A run on disk, its selected learner and the text of its page."""

    experiment: Experiment
    learner: Learner
    page: str

    @property
    def folder(self) -> Path:
        return self.experiment.folder


def trained(recipe: Recipe, folder: Path) -> Trained:
    made = experiment.create(recipe, folder, data_root=Path("unused"), seed=3, mapping=Mapping())
    run = experiment.train(made)
    experiment.finish(made, run)
    return Trained(made, run.learner, page.write(made, run.learner).read_text())


def sinusoid_recipe() -> Recipe:
    recipe = recipes.find("sinusoid-10s-maml")
    return dataclasses.replace(recipe, training=TRAINING, evaluation=Evaluation(tasks=6, steps=2))


@pytest.fixture(scope="session")
def sinusoid_run(session_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(sinusoid_recipe(), tmp_path_factory.mktemp("runs") / "sinusoid")


@pytest.fixture(scope="session")
def image_run(session_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    recipe = Recipe(
        name="tiny-<b>images</b>",
        about="<script>alert('& so on')</script>",
        train_tasks=STROKES,
        test_tasks=STROKES,
        net=Conv4(filters=4, downsample="stride"),
        algorithm=recipes.find("strokes-5w1s-maml").algorithm,
        training=TRAINING,
        evaluation=Evaluation(tasks=6, steps=2),
    )
    return trained(recipe, tmp_path_factory.mktemp("runs") / "images")
