"""The learners that come with the package are the recorded ones, small, and good at any number of ways."""

import json
from pathlib import Path

import pytest

import fewstep
from fewstep.evaluation import Evaluation, evaluate
from fewstep.learner_file import read_learner, shipped
from fewstep.tasks.omniglot import Omniglot
from fewstep.trained import read_trained

RESULTS = Path(__file__).parent.parent / "results"
RECORDS = {"omniglot": RESULTS / "omniglot-protonet", "omniglot-protomaml": RESULTS / "runs" / "omniglot-protomaml"}


def test_there_are_two_and_they_take_less_than_a_megabyte_together():
    assert sorted(shipped()) == sorted(RECORDS)
    assert sum(path.stat().st_size for path in shipped().values()) < 1e6


@pytest.mark.parametrize("name", RECORDS)
def test_each_states_the_accuracy_that_was_recorded_for_its_recipe(name: str):
    packed, result = read_learner(shipped()[name]), json.loads((RECORDS[name] / "result.json").read_text())
    assert packed.recipe.name == result["recipe"]
    assert result["line"] in packed.accuracy


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
    with pytest.raises(ValueError, match="the package has omniglot, omniglot-protomaml"):
        fewstep.adapt("omniglott", "shapes")
