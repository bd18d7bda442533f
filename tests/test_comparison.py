"""The paired test, against numbers worked out by hand."""

import dataclasses
import json
import shutil

import pytest

from fewstep import experiment
from fewstep.comparison import compared, measured_scores, paired, why_not_comparable
from fewstep.evaluation import Evaluation
from fewstep.mapping import Mapping
from fewstep.recipes import find
from fewstep.record import read_record
from fewstep.training import Training
from record_builders import result_of, write_record


def test_a_paired_test_is_the_one_computed_by_hand():
    """Differences 1, 0, −1, 2, 1: mean 0.6, variance (.16 + .36 + 2.56 + 1.96 + .16) / 4 = 1.3, error √(1.3 / 5) =
    0.50990, z = 1.17670, and 2 (1 − Φ(1.17670)) = 0.23932 from a table of the normal distribution.
    """
    outcome = paired([2.0, 1.0, 0.0, 3.0, 5.0], [1.0, 1.0, 1.0, 1.0, 4.0])
    assert outcome.mean == pytest.approx(0.6)
    assert outcome.ci95 == pytest.approx(1.96 * 0.509902, rel=1e-5)
    assert outcome.p == pytest.approx(0.23932, abs=1e-4)
    assert (outcome.first_wins, outcome.second_wins, outcome.tasks) == (3, 1, 5)


def test_of_errors_the_smaller_wins():
    outcome = paired([2.0, 3.0, 1.0], [1.0, 1.0, 1.0], higher_is_better=False)
    assert (outcome.first_wins, outcome.second_wins) == (0, 2)


def test_equal_scores_differ_by_nothing_and_a_constant_difference_is_certain():
    assert paired([0.4, 0.6], [0.4, 0.6])[:3] == (0.0, 0.0, 1.0)
    assert paired([0.5, 0.5], [0.25, 0.25]).p == 0.0


def test_scores_of_different_tasks_are_refused():
    with pytest.raises(ValueError, match="same 2 or more tasks, got 3 and 2"):
        paired([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluation": Evaluation(tasks=600)}, "evaluation.tasks is 1000 in .*a, 600 in .*b"),
        ({"evaluation": Evaluation(seed=1)}, "evaluation.seed is 0 in .*a, 1 in .*b"),
        ({"test_tasks": find("omniglot-5w1s-maml").test_tasks}, 'test_tasks.protocol is "course" in .*a, "finn"'),
    ],
)
def test_runs_with_other_test_tasks_are_refused_with_what_differs(changes, said, tmp_path):
    recipe = find("course-5w1s-maml")
    first = write_record(tmp_path / "a", recipe, result=result_of([0.8, 1.0], updates=800))
    second = write_record(
        tmp_path / "b", dataclasses.replace(recipe, **changes), result=result_of([0.8, 1.0], updates=800)
    )
    with pytest.raises(ValueError, match=said):
        compared([first, second], tmp_path)


def test_other_steps_and_another_algorithm_have_the_same_test_tasks(tmp_path):
    first, second = (write_record(tmp_path / name, f"course-5w1s-{name}") for name in ("maml", "adagrad"))
    assert why_not_comparable(first, second) is None


def test_other_classes_are_other_tasks(tmp_path):
    first, second = (write_record(tmp_path / name, "course-5w1s-maml") for name in ("a", "b"))
    second.header["data"]["test"]["hash"] = "another"
    assert "data.test.hash" in (why_not_comparable(first, second) or "")


def test_every_run_is_compared_with_those_after_it(tmp_path):
    scores = {"a": [0.8, 1.0], "b": [0.6, 1.0], "c": [0.2, 0.2]}
    records = [
        write_record(tmp_path / name, "course-5w1s-maml", result=result_of(per_task, updates=800))
        for name, per_task in scores.items()
    ]
    pairs = compared(records, tmp_path)
    assert [(p.first.folder.name, p.second.folder.name) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.outcome.mean for pair in pairs] == pytest.approx([0.1, 0.7, 0.6])


def test_a_run_that_was_not_tested_is_an_error_that_says_how_to_test_it(tmp_path):
    with pytest.raises(ValueError, match="not tested yet; `fewstep resume"):
        measured_scores(write_record(tmp_path / "run", "course-5w1s-maml"), tmp_path)


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A tiny run on sinusoids."""
    recipe = dataclasses.replace(
        find("sinusoid-10s-maml"),
        training=Training(updates=2, meta_batch=2, validation_tasks=2),
        evaluation=Evaluation(tasks=12, steps=2),
    )
    folder = tmp_path_factory.mktemp("runs") / "tested"
    made = experiment.create(recipe, folder, data_root=folder, mapping=Mapping())
    experiment.finish(made, experiment.train(made))
    return folder


def test_a_result_holds_the_score_of_every_task_and_their_mean_is_the_result(tested):
    result = json.loads((tested / "result.json").read_text())
    assert len(result["per_task"]) == 12
    assert sum(result["per_task"]) / 12 == pytest.approx(result["at_step"][-1][0], abs=1e-6)


def test_a_result_that_is_older_than_these_scores_is_measured_again(tested, tmp_path):
    folder = shutil.copytree(tested, tmp_path / "old")
    result = json.loads((folder / "result.json").read_text())
    per_task = result.pop("per_task")
    (folder / "result.json").write_text(json.dumps(result))
    assert measured_scores(read_record(folder), tmp_path) == pytest.approx(per_task, rel=1e-4)


def test_an_old_result_of_another_checkpoint_is_not_measured_as_if_it_were_its_own(tested, tmp_path):
    folder = shutil.copytree(tested, tmp_path / "moved-on")
    result = json.loads((folder / "result.json").read_text())
    del result["per_task"]
    result["at_step"][-1][0] *= 2
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match="its checkpoint is another one"):
        measured_scores(read_record(folder), tmp_path)
