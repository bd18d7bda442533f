"""`fewstep study`, in processes of its own: interrupted, resumed, drawn."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewstep import experiment
from fewstep.cli import main
from fewstep.evaluation import Evaluation
from fewstep.experiment import Experiment
from fewstep.journal import METRICS, newest_update, read_metrics
from fewstep.mapping import Mapping
from fewstep.recipes import find
from fewstep.training import Training
from record_builders import result_of, train_rows, write_record

NAMES = ("sinusoid-10s-maml", "sinusoid-10s-fomaml")
UPDATES = 300
"""A second of tiny updates: long enough to be stopped in the middle."""


def begun(name: str, folder: Path) -> Experiment:
    """A run that is yet to be trained; its mapping is fixed, so that its result is too."""
    recipe = dataclasses.replace(
        find(name),
        training=Training(updates=UPDATES, meta_batch=1, validate_every=UPDATES, validation_tasks=4),
        evaluation=Evaluation(tasks=6, steps=1),
    )
    return experiment.create(recipe, folder, data_root=folder, mapping=Mapping())


def scores(folder: Path) -> object:
    return json.loads((folder / "result.json").read_text())["at_step"]


@pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes")
def test_a_study_of_two_runs_is_stopped_by_ctrl_c_and_goes_on_to_the_same_results(tmp_path, capsys):
    study, apart = tmp_path / "study", tmp_path / "apart"
    for name in NAMES:
        made = begun(name, apart / name)
        experiment.finish(made, experiment.train(made))
        begun(name, study / f"adopted-{name}")
    words = ["study", *NAMES, "--seeds", "1", "--jobs", "2", "--out", str(study)]
    command = [sys.executable, "-m", "fewstep", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    folders = [study / f"adopted-{name}" for name in NAMES]
    deadline = time.monotonic() + 60
    while all(len(read_metrics(folder / METRICS)) < 3 for folder in folders) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "stopped and saved; the same command goes on" in err
    assert all(0 < newest_update(folder) < UPDATES for folder in folders)
    assert "cut at" in (study / "study.html").read_text()
    assert main(words) == 0
    assert [scores(folder) for folder in folders] == [scores(apart / name) for name in NAMES]
    assert capsys.readouterr().out.endswith(f"report: {study / 'study.html'}\n")
    assert "cut at" not in (study / "study.html").read_text()


def test_report_only_draws_from_what_there_is_and_trains_nothing(tmp_path, capsys):
    write_record(tmp_path / "run", "course-5w1s-maml", train_rows([0.5] * 40), result_of([0.8, 1.0], updates=40))
    assert main(["study", "assignment", "--out", str(tmp_path), "--report-only"]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'study.html'}\n"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "study.html", "study.md", "study.json", "figures"}


def test_a_run_that_fails_makes_the_exit_code_1_and_is_stated_on_the_page(tmp_path, capsys):
    recipe = dataclasses.replace(find(NAMES[0]), training=Training(updates=5, meta_batch=2, lr=1e30))
    experiment.create(recipe, tmp_path / "bad", data_root=tmp_path, mapping=Mapping())
    assert main(["study", NAMES[0], "--seeds", "1", "--out", str(tmp_path)]) == 1
    assert "failed: update" in capsys.readouterr().err
    page = (tmp_path / "study.html").read_text()
    assert "The run bad failed: update" in page
    assert "lower training.lr" in page


def test_without_ray_the_error_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not there
    monkeypatch.delitem(sys.modules, "fewstep.study_ray", raising=False)
    assert main(["study", NAMES[0], "--on", "ray", "--out", str(tmp_path / "out")]) == 1
    said = 'fewstep: error: --on ray needs the package ray: pip install "fewstep[ray]"\n'
    assert capsys.readouterr().err == said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "study needs a study (assignment) or recipes"),
        (["asignment"], "there is no study and no recipe 'asignment'; did you mean 'assignment'?"),
        (["sinusoid-10s-maml", "course-5w1s-mml"], "did you mean 'course-5w1s-maml'?"),
        (["assignment", "--report-only", "--out", "nowhere"], "there is no folder nowhere"),
        (["assignment", "--seeds", "0"], "seeds=0: expected 1 or more"),
        (["assignment", "--jobs", "0"], "jobs=0: expected 1 or more"),
    ],
)
def test_a_wrong_word_is_an_error_that_says_what_to_do(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", *words]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
