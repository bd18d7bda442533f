"""The learners that come with the package are the recorded ones, small, and good at any number of ways."""

import json
from pathlib import Path

import pytest
import torch

import fewstep
from fewstep.evaluation import Evaluation, evaluate, task_scores
from fewstep.learner_file import read_learner, shipped, shipped_for_values
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.trained import read_trained

RESULTS = Path(__file__).parent.parent / "results"
RECORDS = {"omniglot": RESULTS / "omniglot-protonet", "omniglot-protomaml": RESULTS / "runs" / "omniglot-protomaml"}
FIVE_WAYS = {"omniglot-mamlpp": RESULTS / "omniglot-5w1s-best"}
VALUES = {
    name: RESULTS / f"sinusoid-10s-{name.removeprefix('sinusoid-')}" for name in ("sinusoid-maml", "sinusoid-reptile")
}


def test_there_are_three_and_they_take_less_than_a_megabyte_and_a_half_together():
    assert sorted(shipped()) == sorted(RECORDS | FIVE_WAYS)
    assert sum(path.stat().st_size for path in shipped().values()) < 1.5e6


def test_there_are_two_for_points_of_a_curve_which_are_not_among_those_for_images():
    assert sorted(shipped_for_values()) == sorted(VALUES)
    assert not set(VALUES) & set(shipped())
    assert sum(path.stat().st_size for path in shipped_for_values().values()) < 30_000


@pytest.mark.parametrize("name", [*RECORDS, *VALUES])
def test_each_states_the_accuracy_that_was_recorded_for_its_recipe(name: str):
    packed = read_learner((shipped() | shipped_for_values())[name])
    result = json.loads(((RECORDS | VALUES)[name] / "result.json").read_text())
    assert packed.recipe.name == result["recipe"]
    assert result["line"] in packed.accuracy


def test_a_learner_for_values_scores_on_its_test_tasks_what_was_recorded_task_by_task():
    trained = read_trained("sinusoid-reptile")
    recorded = json.loads((VALUES["sinusoid-reptile"] / "result.json").read_text())["per_task"]
    tasks = Sinusoid().sample(0, "test", 0, 100)
    for i in range(4):
        scores = task_scores([trained.learner], trained.learner.model, tasks.select(i), trained.steps)
        assert scores.at_step[-1].item() == pytest.approx(recorded[i], rel=1e-3)


def test_a_learner_for_values_bends_to_points_and_its_model_says_how_good_such_models_are():
    """Six points of 3 sin(x − 1): the curve is near it between them, too."""
    x = torch.tensor([[-3.0], [-1.5], [0.0], [1.0], [2.5], [4.0]])
    model = fewstep.adapt("sinusoid-maml", fewstep.Examples(x, 3 * (x - 1).sin()), steps=10)
    between = torch.tensor([[-2.0], [0.5], [3.0]])
    assert (model(between) - 3 * (between - 1).sin()).abs().max() < 0.5
    assert fewstep.adapt("sinusoid-maml", fewstep.Examples(x, x)).fewstep.accuracy.startswith("MSE 0.1027 ± 0.0108")


@pytest.mark.omniglot
def test_that_of_maml_plus_plus_knows_five_characters_it_never_saw_once_it_has_taken_its_steps(real_data: Path):
    trained = read_trained("omniglot-mamlpp")
    assert trained.recipe.name == "omniglot-5w1s-best"
    tasks = trained.recipe.test_tasks.build(real_data).test
    result = evaluate(trained.learner, tasks, Evaluation(tasks=20, steps=trained.steps))
    assert result.at_step[0].mean < 0.5
    assert result.score.mean > 0.95


@pytest.mark.omniglot
@pytest.mark.parametrize(("ways", "shots", "least"), [(2, 1, 0.95), (5, 3, 0.95), (20, 1, 0.85)])
@pytest.mark.parametrize("name", RECORDS)
def test_each_knows_characters_it_never_saw_whatever_their_number(
    name: str, ways: int, shots: int, least: float, real_data: Path
):
    trained = read_trained(name)
    tasks = Omniglot(ways=ways, shots=shots, queries=1).build(real_data).test
    result = evaluate(trained.learner, tasks, Evaluation(tasks=8, steps=trained.steps))
    assert result.score.mean > least


def test_a_name_that_is_none_of_theirs_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match="omniglot, omniglot-mamlpp, omniglot-protomaml for images, sinusoid-maml, sinusoid-r"
    ):
        fewstep.adapt("omniglott", "shapes")
