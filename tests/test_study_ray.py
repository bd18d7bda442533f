"""Runs as tasks of a Ray of this machine: what workers do that live, are killed, fail or wait for room."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fewstep import experiment
from fewstep.autotune import available_threads
from fewstep.cli import main
from fewstep.evaluation import Evaluation
from fewstep.experiment import Experiment
from fewstep.journal import METRICS, newest_update, read_metrics
from fewstep.lock import locked
from fewstep.mapping import Mapping
from fewstep.nets.imported import Imported
from fewstep.recipe import Recipe
from fewstep.recipes import find
from fewstep.study import Job
from fewstep.study_runs import Means, Outcome, run_all
from fewstep.training import Training

ray = pytest.importorskip("ray")
from fewstep.study_ray import connect, ray_tasks, wait_for_lock  # noqa: E402  # needs ray

NAME = "sinusoid-10s-maml"
UPDATES, SAVED = 300, 20
FRAGILE = """
import os, signal
from pathlib import Path
from torch import nn

class Net(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, outputs))

    def forward(self, x):
        if list(Path({folder!r}).glob("checkpoint-*")) and not os.path.exists({flag!r}):
            Path({flag!r}).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Ray of this machine, as `--on ray` starts it, and the folder from which its workers import users' modules."""
    folder = tmp_path_factory.mktemp("modules")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("RAY_worker_niceness", "0")  # 15 would starve where the machine is busy
        patch.syspath_prepend(folder)
        connect()
        yield folder
        ray.shutdown()


def small(updates: int = UPDATES, **changes: object) -> Recipe:
    training = Training(
        updates=updates, meta_batch=1, validate_every=updates, validation_tasks=4, checkpoint_every=SAVED
    )
    recipe = dataclasses.replace(find(NAME), training=training, evaluation=Evaluation(tasks=6, steps=1))
    return dataclasses.replace(recipe, **changes)


def begun(folder: Path, recipe: Recipe, seed: int = 0) -> Experiment:
    """A run that is yet to be trained; its mapping is fixed, so that its result is too."""
    return experiment.create(recipe, folder, data_root=folder, seed=seed, mapping=Mapping())


def end_of(folder: Path) -> object:
    """What training and test came to, bit for bit."""
    losses = [row["loss"] for row in read_metrics(folder / METRICS) if row["kind"] == "train"]
    return losses, json.loads((folder / "result.json").read_text())["per_task"]


def here(folder: Path, recipe: Recipe, seed: int = 0) -> object:
    """What a run comes to in this process, as it does in a process of its own (tests/cli/test_cli_study.py)."""
    made = begun(folder, recipe, seed)
    experiment.finish(made, experiment.train(made))
    return end_of(folder)


def test_two_runs_end_as_they_do_in_local_processes(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = [Job(recipe=small(30), seed=seed, folder=Path("study", f"s{seed}")) for seed in (0, 1)]  # paths as typed
    for job in jobs:
        begun(job.folder, job.recipe, job.seed)
    told: list[object] = []
    with ray_tasks() as engine:
        assert engine.room(1) == available_threads()
        see = lambda job, what: told.append(what if isinstance(what, Outcome) else what["kind"])  # noqa: E731
        outcomes = run_all(jobs, Means(data_root=Path("data")), engine, at_once=2, see=see)
    assert {(outcome.job.folder, outcome.status) for outcome in outcomes} == {(job.folder, "finished") for job in jobs}
    assert {"train", "validation", *outcomes} == set(told)
    for job in jobs:
        assert end_of(job.folder) == here(tmp_path / f"here-{job.seed}", job.recipe, job.seed)


def test_the_run_of_a_killed_worker_goes_on_from_its_checkpoint_to_the_same_result(modules, tmp_path):
    flag = tmp_path / "killed"
    flag.touch()  # not yet
    folder = tmp_path / "run"
    (modules / "fragile.py").write_text(FRAGILE.format(folder=str(folder), flag=str(flag)))
    recipe = small(60, net=Imported(path="fragile:Net"))
    undisturbed = here(tmp_path / "undisturbed", recipe)
    begun(folder, recipe)
    flag.unlink()
    first: list[int] = []
    with ray_tasks() as engine:
        see = lambda job, what: first.append(what.get("update")) if isinstance(what, dict) else None  # noqa: E731
        job = Job(recipe=recipe, seed=0, folder=folder)
        assert run_all([job], Means(data_root=tmp_path), engine, at_once=1, see=see)[0].status == "finished"
    assert flag.exists()
    assert first == [1, SAVED + 1, 60]  # the first update of either worker, and the validation
    assert end_of(folder) == undisturbed


def test_a_run_that_keeps_failing_is_told_and_the_others_go_on(modules, tmp_path):
    (modules / "dying.py").write_text("import os\ndef net(outputs): os._exit(3)\n")
    recipes = {
        "dying": small(3, net=Imported(path="dying:net")),
        "diverging": dataclasses.replace(small(), training=Training(updates=5, meta_batch=2, lr=1e30)),
        "sound": small(3),
    }
    jobs = [Job(recipe=recipe, seed=0, folder=tmp_path / name) for name, recipe in recipes.items()]
    with ray_tasks(retries=1) as engine:
        ended = run_all(jobs, Means(data_root=tmp_path), engine, at_once=3)
    outcomes = {outcome.job.folder.name: outcome for outcome in ended}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "dying": "failed",
        "diverging": "failed",
        "sound": "finished",
    }
    assert outcomes["dying"].words.startswith("its Ray worker died, after 1 retries too")
    assert "lower training.lr" in outcomes["diverging"].words


def test_once_the_caller_wants_to_stop_a_run_saves_and_one_without_room_is_called_off(modules, tmp_path):
    jobs = [Job(recipe=small(10**6), seed=seed, folder=tmp_path / f"s{seed}") for seed in (0, 1)]
    told: list[Job] = []
    means = Means(data_root=tmp_path, threads=available_threads())
    with ray_tasks() as engine:
        assert engine.room(means.threads) == 1
        see = lambda job, what: told.append(job)  # noqa: E731
        outcomes = run_all(jobs, means, engine, at_once=2, see=see, must_stop=lambda: bool(told))
    ran, waited = sorted(outcomes, key=lambda outcome: outcome.words)  # saved ..., stopped ...
    assert (ran.status, ran.words) == ("interrupted", f"saved at update {newest_update(ran.job.folder)}")
    assert (waited.status, waited.words) == ("interrupted", "stopped before it began")
    assert not waited.job.folder.exists()


@pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes")
def test_the_command_finds_a_cluster_by_its_address_and_ctrl_c_saves(modules, tmp_path, capsys):
    study = tmp_path / "study"
    begun(study / "run", small())
    words = ["study", NAME, "--seeds", "1", "--out", str(study), "--on", "ray"]
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    process = subprocess.Popen(
        [sys.executable, "-m", "fewstep", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    )
    deadline = time.monotonic() + 120
    while len(read_metrics(study / "run" / METRICS)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "stopped and saved; the same command goes on" in err
    assert 0 < newest_update(study / "run") < UPDATES
    assert main(words) == 0
    assert end_of(study / "run") == here(tmp_path / "here", small())
    assert capsys.readouterr().out == f"report: {study / 'study.html'}\n"


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://[::1]:9"])
def test_an_address_where_nothing_answers_is_an_error_at_once(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConnectionError, match=re.escape(f"no Ray cluster answers at RAY_ADDRESS={address} (")):
        connect()


def test_threads_that_no_node_has_are_an_error_not_a_wait_for_ever(modules):
    with (
        ray_tasks() as engine,
        pytest.raises(ValueError, match=r"threads=10000, .* more than \d+ CPUs; lower --threads"),
    ):
        engine.room(10000)


def test_a_lock_that_goes_is_waited_for_and_one_that_stays_is_left_to_training_to_refuse(tmp_path):
    wait_for_lock(tmp_path / "not there yet")
    began = time.monotonic()
    with locked(tmp_path):
        wait_for_lock(tmp_path, seconds=0.1)
    assert time.monotonic() - began >= 0.1
    wait_for_lock(tmp_path, seconds=1e9)
