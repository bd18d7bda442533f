import dataclasses
import json
from pathlib import Path

import pytest

from fewstep import experiment, recipes
from fewstep.evaluation import Evaluation
from fewstep.journal import METRICS
from fewstep.mapping import Mapping
from fewstep.nets.mlp import MLP
from fewstep.recipe import Recipe
from fewstep.tasks.strokes import Strokes
from run_builders import TRAINING, train_sinusoids

SINUSOIDS = dataclasses.replace(
    recipes.find("sinusoid-10s-maml"),
    net=MLP(hidden=(8,)),
    training=dataclasses.replace(TRAINING, updates=1),
    evaluation=Evaluation(tasks=2, steps=1),
)


def create(recipe: Recipe, folder: Path, seed: int = 0) -> experiment.Experiment:
    return experiment.create(recipe, folder, data_root=Path("unused"), seed=seed, mapping=Mapping())


def test_a_learner_that_fails_its_audit_is_refused_and_nothing_is_written(tmp_path):
    """Five alphabets: training has the first three, the test the last three."""
    first = Strokes(ways=3, train_alphabets=3, val_alphabets=1, test_alphabets=1, drawers=3)
    last = dataclasses.replace(first, train_alphabets=1, test_alphabets=3)
    recipe = dataclasses.replace(recipes.find("strokes-5w1s-maml"), train_tasks=first, test_tasks=last, net=MLP())
    with pytest.raises(ValueError, match=r"the audit failed, .*train and test share \d+, 'alphabet02/character01'"):
        create(recipe, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert create(dataclasses.replace(recipe, test_tasks=first), tmp_path / "run").card.passed


def test_a_folder_with_the_log_or_a_checkpoint_of_a_library_run_is_refused_and_unchanged(tmp_path):
    train_sinusoids(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="holds the log or checkpoints of another run; give --out another name"):
        create(SINUSOIDS, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / METRICS).unlink()
    with pytest.raises(FileExistsError, match="holds the log or checkpoints"):
        create(SINUSOIDS, tmp_path)


def test_the_log_begins_with_the_audit_and_the_result_names_the_seed_of_training(tmp_path):
    created = create(SINUSOIDS, tmp_path, seed=3)
    experiment.finish(created, experiment.train(created))
    first = json.loads((tmp_path / METRICS).read_text().splitlines()[0])
    assert (first["kind"], first["update"]) == ("audit", 0)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["training_seed"], result["seed"]) == (3, 0)  # the latter is that of the list of test tasks


def test_a_log_that_a_crash_came_before_begins_with_the_audit_too(tmp_path):
    create(SINUSOIDS, tmp_path)
    begun = (tmp_path / METRICS).read_text()
    (tmp_path / METRICS).unlink()
    experiment.train(experiment.load(tmp_path, data_root=Path("unused")))
    assert (tmp_path / METRICS).read_text().startswith(begun)


def test_a_negative_seed_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match="seed=-1: expected 0 or more"):
        create(SINUSOIDS, tmp_path / "run", seed=-1)
    assert list(tmp_path.iterdir()) == []
