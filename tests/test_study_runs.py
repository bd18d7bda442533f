"""Runs over processes: what fails fails alone, what is done is left alone."""

import dataclasses
import json

import pytest

from fewstep.evaluation import Evaluation
from fewstep.nets.imported import Imported
from fewstep.recipe import Recipe
from fewstep.recipes import find
from fewstep.study import Job
from fewstep.study_processes import processes
from fewstep.study_runs import Means, line_if_done, run_all
from fewstep.training import Training


def tiny(**changes: object) -> Recipe:
    """Three updates of two sinusoids."""
    training = Training(updates=3, meta_batch=2, validation_tasks=2)
    recipe = dataclasses.replace(find("sinusoid-10s-maml"), training=training, evaluation=Evaluation(tasks=4, steps=1))
    return dataclasses.replace(recipe, **changes)


def test_what_fails_fails_alone_and_what_is_done_is_left_alone(tmp_path, monkeypatch):
    """The process of one run dies without a word, the other is sound."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_dying.py").write_text("import os\ndef net(outputs): os._exit(3)\n")
    recipes = {
        "dying": tiny(net=Imported(path="my_dying:net")),
        "sound": tiny(),
    }
    jobs = [Job(recipe=recipe, seed=0, folder=tmp_path / name) for name, recipe in recipes.items()]
    means = Means(data_root=tmp_path)
    with processes() as engine:
        ended = run_all(jobs, means, engine, at_once=2)
    outcomes = {outcome.job.folder.name: outcome for outcome in ended}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "dying": "failed",
        "sound": "finished",
    }
    assert outcomes["dying"].words == "its process ended with exit code 3"
    assert outcomes["sound"].words == json.loads((tmp_path / "sound" / "result.json").read_text())["line"]
    assert (tmp_path / "sound" / "report.html").exists()
    assert line_if_done(jobs[1], means) == outcomes["sound"].words
    assert run_all(jobs[1:], means, engine, at_once=1)[0].status == "already done"


def test_nothing_is_begun_once_the_caller_wants_to_stop(tmp_path):
    jobs = [Job(recipe=tiny(), seed=0, folder=tmp_path / "run")]
    with processes() as engine:
        assert run_all(jobs, Means(data_root=tmp_path), engine, at_once=1, must_stop=lambda: True) == []
    assert not (tmp_path / "run").exists()


def test_no_process_at_all_is_an_error(tmp_path):
    with processes() as engine, pytest.raises(ValueError, match="jobs=0: expected 1 or more"):
        run_all([], Means(data_root=tmp_path), engine, at_once=0)
