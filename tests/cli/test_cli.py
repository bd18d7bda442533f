import dataclasses
import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import pytest
from PIL import Image

from fewstep import experiment, recipes
from fewstep.cli import VERBS, main
from fewstep.journal import METRICS, newest_update, read_metrics
from fewstep.tasks.published import DATA_SETS
from run_builders import FEW_ALPHABETS

TRAIN = [
    *["train", "sinusoid-10s-maml", "--net.hidden", "8", "--threads", "1", "--chunk", "1"],
    *["--training.updates", "1", "--training.meta-batch", "2", "--training.checkpoint-every", "2"],
    *["--training.validate-every", "3", "--training.validation-tasks", "10"],
    *["--evaluation.tasks", "20", "--evaluation.steps", "2"],
]
"""One update of two tasks, unless --updates says otherwise."""
ALPHABETS = [
    word
    for tasks in ("train", "test")
    for name, count in FEW_ALPHABETS.items()
    for word in (f"--{tasks}-tasks.{name.replace('_', '-')}", str(count))
]
STROKES = [
    *["train", "strokes-5w1s-maml", "--threads", "1", "--chunk", "1", *ALPHABETS],
    *["--training.updates", "1", "--training.meta-batch", "2", "--training.validation-tasks", "4"],
    *["--evaluation.tasks", "4", "--evaluation.steps", "1"],
]


class Told(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


class Cli:
    """Commands in this process, and what they said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str | Path) -> Told:
        """Run one."""
        self._capsys.readouterr()
        code = main([str(word) for word in words])
        told = Told(code, *self._capsys.readouterr())
        assert "Traceback" not in told.err
        return told


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """The log of a command goes to the terminal of that command alone."""
    yield
    logging.getLogger("fewstep").handlers.clear()


@pytest.fixture
def cli(capsys) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of six updates; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main([*TRAIN, "--updates", "6", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def squeezed(text: str) -> str:
    """Words alone: tyro draws boxes around its help and wraps it as wide as the terminal."""
    return " ".join(re.sub(r"[│╭╮╰╯─]|-{3,}", " ", text).split())


# Help


def test_help_lists_every_verb(cli):
    told = cli("--help")
    assert told.code == 0
    assert all(f"  {verb} " in told.out for verb in VERBS)


def test_help_is_quick_and_imports_neither_torch_nor_numpy():
    check = (
        "import sys; from fewstep.cli import main; main(['--help']); print({'torch', 'numpy', 'tyro'} & {*sys.modules})"
    )
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "set()"
    assert time.monotonic() - began < 5  # importing torch alone takes two seconds on an idle machine


def test_no_verb_at_all_prints_the_help_and_is_wrong_usage(cli):
    told = cli()
    assert told.code == 2
    assert told.out == cli("--help").out


def test_version_is_that_of_the_package(cli):
    assert re.fullmatch(r"fewstep \d+\.\d+\.\d+\n", cli("--version").out)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_every_option(verb, cli):
    told = cli(verb, "--help")
    assert told.code == 0
    options = re.split(r"\n[│ ] (?=--?[a-z])", told.out)[1:]
    assert len(options) > 1 or verb == "recipes"
    for option in options:
        explained = squeezed(re.split(r"\s{2,}", option, maxsplit=1)[1])  # after the name and what it takes
        words, default, _ = re.sub(r"\(required\)$", "(default: none)", explained).partition("(default: ")
        assert len(words) > 5, option
        assert default or "this help message" in words, option


def test_help_of_a_recipe_has_every_field_with_its_own_default(cli):
    text = squeezed(cli("train", "omniglot-20w1s-maml", "--help").out)
    for said in (
        "--algorithm.inner-lr FLOAT inner learning rate α, on the mean loss (default: 2.0)",
        "--algorithm.inner-steps INT inner steps in training (default: 5)",
        "--train-tasks.ways INT classes a task (default: 20)",
        "--net.filters INT filters of every convolution (default: 64)",
    ):
        assert said in text
    assert "(default: 16)" in text.partition("--training.meta-batch INT")[2][:80]
    assert "(default: 60000)" in text.partition("--training.updates INT")[2][:80]


# Recipes and data


def test_recipes_lists_all_of_them(cli):
    lines = cli("recipes").out.splitlines()
    assert [line.split()[0] for line in lines] == [recipe.name for recipe in recipes.ALL]


def test_recipes_prints_one_whole(cli):
    values = json.loads(cli("recipes", "course-5w1s-maml").out)
    assert values["algorithm"]["inner_lr"] == 0.4
    assert values["training"]["updates"] == 800


def test_data_list_says_where_the_data_lie(cli, tmp_path):
    told = cli("data", "list", "--data-root", tmp_path)
    assert told.code == 0
    listed = ["strokes", "sinusoid", "omniglot", "mini-imagenet", "tiered-imagenet", "cifar-fs", "fc100", "cub"]
    assert [line.split()[0] for line in told.out.splitlines()] == listed
    assert "`fewstep data import cub PATH` reads CUB_200_2011.tgz" in told.out
    assert "not here yet" in told.out
    assert str(tmp_path / "omniglot") in told.out


def test_data_show_prints_what_the_tasks_are(cli):
    assert "A sin(x - phase)" in cli("data", "show", "sinusoid").out


@pytest.mark.omniglot
def test_data_show_prints_six_protocols_with_their_sizes_and_hashes(cli, real_data):
    told = cli("data", "show", "omniglot", "--data-root", real_data)
    assert told.out.count("protocol: ") == 6
    assert len(set(re.findall(r"hash: ([0-9a-f]{16})", told.out))) == 6
    assert 'classes: {"train": 3200, "val": 656, "test": 2636}' in told.out
    assert "straddle train and val" in told.out


def test_data_verify_of_what_is_not_there_is_an_error_that_says_where_it_looked(cli, tmp_path):
    told = cli("data", "verify", "omniglot", "--data-root", tmp_path)
    assert told.code == 1
    assert f"{tmp_path}/omniglot has neither images_background.zip" in told.err


def test_data_verify_of_generated_data_has_nothing_to_do(cli):
    told = cli("data", "verify", "sinusoid")
    assert (told.code, told.out) == (0, "sinusoid is generated: there are no files to verify\n")


def test_data_show_without_a_name_lists_the_names(cli):
    told = cli("data", "show")
    assert told.code == 1
    assert "needs a data set: strokes, omniglot, sinusoid" in told.err


@pytest.fixture
def fc100(tmp_path, monkeypatch) -> Path:
    """A folder with a small FC100 in the pickles of the real one: five classes of sixteen images a split."""
    small = dataclasses.replace(DATA_SETS["fc100"], size=4, classes=(5, 5, 5), images=(80, 80, 80))
    monkeypatch.setitem(DATA_SETS, "fc100", small)
    pickled = pickle.dumps({"data": np.zeros((80, 4, 4, 3), np.uint8), "labels": [i // 16 for i in range(80)]})
    (tmp_path / "downloads").mkdir()
    for split in ("train", "val", "test"):
        (tmp_path / "downloads" / f"FC100_{split}.pickle").write_bytes(pickled)
    return tmp_path / "downloads"


def test_a_published_data_set_is_imported_shown_verified_and_listed(cli, fc100, tmp_path):
    root = ("--data-root", tmp_path / "root")
    told = cli("data", "import", "fc100", fc100, *root)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"fc100 is in {tmp_path}/root/fc100\n")
    assert 'classes: {"train": 5, "val": 5, "test": 5}\nimages: {"train": 80, "val": 80, "test": 80}' in told.out
    assert cli("data", "show", "fc100", *root).out in told.out
    assert "val: as imported, numbers as published (5 classes, 80 images)" in cli("data", "verify", "fc100", *root).out
    assert f"fc100           {tmp_path}/root/fc100: imported\n" in cli("data", "list", *root).out


def test_an_imported_data_set_that_has_changed_is_told_by_verify(cli, fc100, tmp_path):
    root = ("--data-root", tmp_path / "root")
    cli("data", "import", "fc100", fc100, *root)
    with (tmp_path / "root" / "fc100" / "test.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    told = cli("data", "verify", "fc100", *root)
    assert told.code == 1
    assert "test: changed" in told.out
    assert told.err.count("has changed since it was imported") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import"], "needs a data set: strokes, omniglot, sinusoid, mini-imagenet"),
        (["import", "omniglot", "x.zip"], "omniglot needs no import; those that do are mini-imagenet, tiered"),
        (["import", "cub"], "needs a PATH, to the folder or archive of CUB_200_2011.tgz"),
        (["import", "cub", "nowhere.tgz"], "nowhere.tgz does not exist"),
        (["show", "cub", "x.tgz"], "`fewstep data show` takes no PATH"),
        (["show", "cub"], "`fewstep data import cub PATH`"),
        (["verify", "cub"], "`fewstep data import cub PATH`"),
    ],
)
def test_data_commands_that_lack_or_have_too_much_say_so(cli, words, said, tmp_path):
    told = cli("data", *words, "--data-root", tmp_path)
    assert told.code == 1
    assert said in told.err


# Training


def test_train_writes_all_that_a_run_is(finished):
    written = {path.name for path in finished.iterdir()}
    assert {"recipe.json", METRICS, "result.json", "report.html", "curves.png", "best.safetensors"} <= written
    assert [f"checkpoint-{update:08d}.safetensors" in written for update in (2, 3, 4, 6)] == [False, True, True, True]
    assert not [name for name in written if name.startswith(".")]


def test_the_run_folder_says_what_was_overridden_and_how_it_was_run(finished):
    header = json.loads((finished / "recipe.json").read_text())
    assert header["recipe"]["name"] == "sinusoid-10s-maml"
    assert (header["recipe"]["training"]["updates"], header["recipe"]["training"]["meta_batch"]) == (6, 2)
    assert header["recipe"]["net"] == {"kind": "MLP", "hidden": [8], "activation": "relu"}
    assert header["recipe"]["algorithm"]["inner_lr"] == 0.01
    assert (header["seed"], header["mapping"]) == (0, {"threads": 1, "chunk": 1, "execution": "eager"})
    assert {"torch", "numpy", "python", "fewstep"} <= header["versions"].keys()


def test_the_result_is_that_of_the_selected_update(finished):
    result = json.loads((finished / "result.json").read_text())
    scores = {row["update"]: row["score"] for row in read_metrics(finished / METRICS) if row["kind"] == "validation"}
    assert result["selected_update"] == min(scores, key=lambda update: scores[update])
    assert (result["updates"], result["tasks"], result["steps"], result["status"]) == (6, 20, 2, "finished")
    assert len(result["at_step"]) == 3


def test_train_prints_the_result_line_and_the_path_of_the_report(cli, tmp_path):
    told = cli(*TRAIN, "--out", tmp_path / "run")
    line, report = told.out.splitlines()
    assert re.fullmatch(r"MSE [\d.]+ ± [\d.]+ \(95 % CI, 20 tasks × 10 queries, seed 0, per query, 2 steps\)", line)
    assert report == f"report: {tmp_path / 'run' / 'report.html'}"
    assert (tmp_path / "run" / "report.html").read_text().startswith("<!doctype html>")


def test_train_on_the_embedded_alphabets_prints_both_accuracies(cli, tmp_path):
    told = cli(*STROKES, "--net.filters", "4", "--out", tmp_path / "run")
    assert told.code == 0
    together, alone, report = told.out.splitlines()
    assert re.match(r"[\d.]+ ± [\d.]+ % \(95 % CI, 4 tasks × 5 queries, seed 0, transductive, 1 step\)", together)
    assert "per query" in alone
    assert report.endswith("report.html")


def test_without_out_the_folder_is_named_after_recipe_and_seed(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli(*TRAIN, "--seed", "3").code == 0
    assert (tmp_path / "runs" / "sinusoid-10s-maml-s3" / "result.json").exists()


def test_the_same_command_gives_the_same_result(cli, finished, tmp_path):
    """To rounding: the clock may choose another mapping."""
    cli(*TRAIN, "--updates", "6", "--out", tmp_path / "again")
    mine, theirs = (json.loads((folder / "result.json").read_text()) for folder in (finished, tmp_path / "again"))
    assert len(mine["at_step"]) == len(theirs["at_step"])
    for score, again in zip(mine["at_step"], theirs["at_step"], strict=True):
        assert score == pytest.approx(again, rel=1e-4)


def test_a_dry_run_prints_the_recipe_and_writes_nothing(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = cli(*TRAIN, "--updates", "6", "--dry-run", "--out", tmp_path / "run")
    values = json.loads(told.out)
    assert (told.code, values["recipe"]["training"]["updates"]) == (0, 6)
    assert values["learned numbers"] == 1 * 8 + 8 + 8 * 1 + 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_refused_and_nothing_in_it_changes(cli, finished):
    before = contents(finished)
    told = cli(*TRAIN, "--updates", "6", "--out", finished)
    assert told.code == 1
    assert f"{finished} already holds a run" in told.err
    assert f"fewstep resume {finished}" in told.err
    assert "--out another name" in told.err
    assert contents(finished) == before


def test_a_net_of_ones_own_trains_from_the_command_line(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own.py").write_text(
        "from torch import nn\ndef net(outputs): return nn.Sequential(nn.Flatten(), nn.Linear(784, outputs))\n"
    )
    told = cli(*STROKES, "--net", "my_own:net", "--out", "run")
    assert told.code == 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]["net"]["path"] == "my_own:net"
    assert cli("evaluate", "run").out.splitlines()[0] == told.out.splitlines()[0]


def test_another_kind_of_inner_optimizer_is_chosen_by_name_and_has_its_own_fields(cli, tmp_path):
    told = cli(*TRAIN, "--algorithm.optimizer", "adagrad", "--algorithm.optimizer.eps-inside", "0.5", "--dry-run")
    assert json.loads(told.out)["recipe"]["algorithm"]["optimizer"] == {
        "kind": "Adagrad",
        "eps_inside": 0.5,
        "eps_outside": 0.0,
    }


def test_an_algorithm_with_an_inner_rule_of_its_own_takes_no_other_optimizer(cli, tmp_path):
    told = cli("train", "sinusoid-10s-metasgd", "--algorithm.optimizer", "adagrad", "--dry-run")
    assert told.code == 1
    assert "MetaSGD has an inner rule of its own" in told.err


# Resuming


def test_a_run_out_of_time_is_resumed_to_the_same_result(cli, finished, tmp_path):
    folder = tmp_path / "run"
    stopped = cli(*TRAIN, "--updates", "6", "--out", folder, "--minutes", "0")
    assert stopped.code == 0
    assert f"out of time after update 1; continue with `fewstep resume {folder}`" in stopped.err
    resumed = cli("resume", folder)
    assert resumed.code == 0
    assert resumed.out.splitlines()[1] == f"report: {folder / 'report.html'}"
    mine, theirs = (json.loads((at / "result.json").read_text()) for at in (folder, finished))
    assert mine["line"] == theirs["line"]
    assert mine["at_step"] == theirs["at_step"]


def test_resuming_a_finished_run_tells_its_result_again(cli, copied):
    before = json.loads((copied / "result.json").read_text())
    told = cli("resume", copied)
    assert (told.code, told.out.splitlines()[0]) == (0, before["line"])


def test_ctrl_c_finishes_the_update_saves_and_says_how_to_resume(cli, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "fewstep", *TRAIN, "--updates", "100000", "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(read_metrics(folder / METRICS)) < 10 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130, err
    assert "Traceback" not in err
    stopped = newest_update(folder)
    assert f"stopped after update {stopped}, saved; continue with `fewstep resume {folder}`" in err
    assert read_metrics(folder / METRICS)[-1]["update"] == stopped
    assert "This run is unfinished" in (folder / "report.html").read_text()
    assert cli("resume", folder, "--minutes", "0").code == 0
    assert newest_update(folder) == stopped + 1


# Evaluating and auditing


def test_evaluate_gives_the_result_of_training_again(cli, finished):
    told = cli("evaluate", finished)
    assert told.out.splitlines()[0] == json.loads((finished / "result.json").read_text())["line"]
    assert [line.split(":")[0] for line in told.out.splitlines()[1:]] == [
        "after 0 steps",
        "after 1 step",
        "after 2 steps",
    ]


def test_evaluate_as_json_takes_other_tasks_steps_and_seeds(cli, finished):
    before = contents(finished)
    told = cli("evaluate", finished, "--json", "--tasks", "7", "--steps", "4", "--seed", "5", "--split", "val")
    values = json.loads(told.out)
    assert (values["tasks"], values["steps"], values["seed"], len(values["at_step"])) == (7, 4, 5, 5)
    assert contents(finished) == before


def test_evaluate_draws_tasks_of_other_shots_and_queries(cli, finished):
    told = cli("evaluate", finished, "--shots", "2", "--queries", "3", "--tasks", "4")
    assert told.code == 0
    assert "4 tasks × 3 queries" in told.out
    assert cli("evaluate", finished, "--tasks", "4").out != told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ways", "7"), "Sinusoid tasks have no ways; leave it out"),
        (("--shots", "3", "--split", "train"), "--shots is of the tasks to test on"),
    ],
)
def test_evaluate_says_which_tasks_there_are_none_of(words, said, cli, finished):
    told = cli("evaluate", finished, *words)
    assert told.code == 1
    assert said in told.err


def test_audit_passes_a_sound_learner(cli, finished):
    told = cli("audit", finished)
    assert told.code == 0
    assert "2, measured" in told.out
    assert "LEAK" not in told.out


# Errors: a sentence, no traceback


@pytest.mark.parametrize(("typed", "nearest"), [("trian", "train"), ("evalute", "evaluate"), ("recipe", "recipes")])
def test_an_unknown_verb_is_wrong_usage_with_the_nearest(typed, nearest, cli):
    told = cli(typed)
    assert told.code == 2
    assert f"there is no verb '{typed}'; did you mean '{nearest}'?" in told.err


def test_an_unknown_recipe_is_an_error_with_the_nearest(cli):
    told = cli("train", "strokes-5w1s-mml")
    assert told.code == 1
    assert "there is no recipe 'strokes-5w1s-mml'; did you mean 'strokes-5w1s-maml'?" in told.err


def test_an_unknown_field_is_wrong_usage_with_the_nearest(cli, tmp_path):
    told = cli(*TRAIN, "--algorithm.inner-rl", "0.1", "--out", tmp_path / "run")
    assert told.code == 2
    assert "--algorithm.inner-lr" in told.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words", [["--updates", "many"], ["--algorithm.order", "3"], ["--training.schedule", "step"], ["--norm", "batch"]]
)
def test_a_value_of_the_wrong_type_is_wrong_usage_that_names_the_option(words, cli, tmp_path):
    told = cli(*TRAIN, *words, "--out", tmp_path / "run")
    assert told.code == 2
    assert words[0] in squeezed(told.err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--updates", "0"], "training.updates=0: expected 1 or more"),
        (["--evaluation.tasks", "1"], "tasks ≥ 2"),
        (["--algorithm.inner-steps", "-1"], "inner_steps=-1: expected 0 or more"),
        (["--threads", "0"], "threads ≥ 1"),
        (["--device", "abacus"], "device='abacus' cannot be used"),
        (["--net", "conv5"], "expected one of conv4, resnet12, mlp; did you mean 'conv4'?"),
        (["--train-tasks.shots", "0"], "shots ≥ 1 and queries ≥ 1"),
    ],
)
def test_a_value_out_of_range_is_an_error_that_names_it_and_writes_nothing(words, said, cli, tmp_path):
    told = cli(*TRAIN, *words, "--out", tmp_path / "run")
    assert told.code in (1, 2)
    assert said in squeezed(told.err)
    assert not (tmp_path / "run").exists()


def test_more_ways_than_classes_is_an_error_with_the_numbers(cli, tmp_path):
    told = cli(*STROKES, "--train-tasks.ways", "31", "--test-tasks.ways", "31", "--out", tmp_path / "run")
    assert told.code == 1
    assert re.search(r"ways=31 but split '(val|test)' has \d+ classes; lower tasks\.ways", told.err)
    assert not (tmp_path / "run").exists()


def test_different_ways_in_training_and_test_are_an_error_with_the_options_to_set(cli, tmp_path):
    told = cli(*STROKES, "--train-tasks.ways", "4", "--out", tmp_path / "run")
    assert told.code == 1
    assert "set train-tasks.ways and test-tasks.ways to the same number" in told.err


def test_more_shots_and_queries_than_images_is_an_error_that_names_a_class(cli, tmp_path):
    told = cli(*STROKES, "--train-tasks.queries", "20", "--out", tmp_path / "run")
    assert told.code == 1
    assert "class 'alphabet00/character01' of split 'train' has 20 images, needs 21 (1 shot + 20 queries)" in told.err


def test_a_net_of_the_wrong_width_is_an_error_with_both_widths(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_wide.py").write_text(
        "from torch import nn\ndef net(outputs): return nn.Sequential(nn.Flatten(), nn.Linear(784, 7))\n"
    )
    told = cli(*STROKES, "--net", "my_wide:net", "--out", tmp_path / "run")
    assert told.code == 1
    assert "the net's output has shape [5, 7], but the tasks have 5 ways" in told.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no_such_module:net", "cannot be imported"),
        ("json:loads_nothing", "cannot be imported"),
        ("json:", "my_module:Net"),
    ],
)
def test_a_net_that_cannot_be_imported_is_an_error_that_names_it(path, said, cli, tmp_path):
    told = cli(*STROKES, "--net", path, "--out", tmp_path / "run")
    assert told.code == 1
    assert repr(path) in told.err
    assert said in told.err


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_update(cli, tmp_path):
    told = cli(*TRAIN, "--updates", "6", "--training.lr", "1e30", "--out", tmp_path / "run")
    assert told.code == 1
    assert re.search(r"update \d+: the loss is (inf|nan); it is so before any inner step", told.err)
    assert "lower training.lr" in told.err


def test_a_folder_without_a_run_is_an_error_that_names_it(cli, tmp_path):
    for verb in ("resume", "evaluate", "audit"):
        told = cli(verb, tmp_path / "nowhere")
        assert told.code == 1
        assert f"{tmp_path / 'nowhere'} holds no run" in told.err


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"format": 1', "[]", "3", "\udcff", '{"format": 1}', '{"format": 1, "recipe": 3, "seed": 0}'],
)
def test_a_damaged_recipe_is_an_error_that_names_the_file(content, cli, copied):
    (copied / "recipe.json").write_bytes(content.encode(errors="surrogateescape"))
    told = cli("resume", copied)
    assert told.code == 1
    assert "unexpected" not in told.err
    assert str(copied / "recipe.json") in told.err


def test_a_run_of_another_format_is_an_error_with_both_numbers(cli, copied):
    header = json.loads((copied / "recipe.json").read_text())
    (copied / "recipe.json").write_text(json.dumps({**header, "format": 99}))
    told = cli("evaluate", copied)
    assert told.code == 1
    assert "was written by a newer fewstep (run folders of format 99, this reads 1): upgrade fewstep" in told.err


def test_an_edited_recipe_does_not_take_the_checkpoints_of_the_old(cli, copied):
    header = json.loads((copied / "recipe.json").read_text())
    header["recipe"]["algorithm"]["inner_lr"] = 0.5
    (copied / "recipe.json").write_text(json.dumps(header))
    for verb in ("resume", "evaluate"):
        told = cli(verb, copied)
        assert told.code == 1
        assert "another recipe, net, tasks or seed" in told.err


def test_a_damaged_checkpoint_is_an_error_that_says_how_to_go_on(cli, copied):
    newest = max(copied.glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:500])
    told = cli("resume", copied)
    assert told.code == 1
    assert f"{newest} is not a whole fewstep checkpoint" in told.err
    assert "delete it to resume from the one before" in told.err
    newest.unlink()
    assert cli("resume", copied).code == 0


def test_a_run_without_a_checkpoint_cannot_be_evaluated_and_says_how_to_train_it(cli, copied):
    for path in copied.glob("*.safetensors"):
        path.unlink()
    told = cli("evaluate", copied)
    assert told.code == 1
    assert f"holds no checkpoint yet; train it with `fewstep resume {copied}`" in told.err


def test_an_output_folder_that_cannot_be_made_is_an_error_that_names_it(cli, tmp_path):
    (tmp_path / "file").write_text("in the way")
    told = cli(*TRAIN, "--out", tmp_path / "file" / "run")
    assert told.code == 1
    assert str(tmp_path / "file") in told.err


def test_debug_raises_the_error_itself(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        main(["--debug", "resume", str(tmp_path)])


def test_in_a_process_of_its_own_an_error_is_one_line_and_the_exit_code_says_so():
    told = subprocess.run([sys.executable, "-m", "fewstep", "trian"], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("fewstep: error: there is no verb 'trian'; did you mean 'train'?")
    assert len(told.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m fewstep recipes | head -1"
    told = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, env=os.environ)
    assert told.stdout.startswith(recipes.ALL[0].name)
    assert told.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_output_that_takes_nothing_is_one_line_of_error():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "fewstep", "--version"]
        told = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert told.returncode == 1
    assert re.fullmatch(r"fewstep: error: .*No space left on device\n", told.stderr)


# Choices of data, net and recipe


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> Path:
    """20 classes, of which the test has five, of 3 noisy pictures each."""
    root, rng = tmp_path_factory.mktemp("birds"), np.random.default_rng(0)
    for c in range(20):
        (root / f"bird{c:02d}").mkdir()
        for m in range(3):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / f"bird{c:02d}" / f"{m}.png")
    return root


def of_folder(folder: Path) -> list[str | Path]:
    fields = [
        f"--{tasks}-tasks.{field}" for tasks in ("train", "test") for field in ("size=16", "queries=2", "color=L")
    ]
    words = [word for field in fields for word in field.split("=")]
    return ["--tasks.folder", folder, *words, "--net.filters", "4", "--threads", "1", "--chunk", "1"]


def test_a_folder_of_images_resolves_for_training_and_test(cli, birds, tmp_path):
    told = cli("train", *of_folder(birds), "--dry-run", "--out", tmp_path / "run")
    assert told.code == 0
    plan = json.loads(told.out)
    of_train = {"kind": "ImageFolder", "folder": str(birds), "ways": 5, "shots": 1, "queries": 2}
    assert plan["recipe"]["train_tasks"] == plan["recipe"]["test_tasks"] == {**of_train, "size": 16, "color": "L"}
    assert plan["data"]["train"]["classes"] == {"train": 12, "val": 3, "test": 5}  # 15 % and 25 % are held out
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_images_is_trained_and_tested_on(cli, birds, tmp_path):
    few = ["--training.meta-batch", "2", "--evaluation.tasks", "2", "--updates", "1"]
    told = cli("train", *of_folder(birds), *few, "--out", tmp_path / "run")
    assert told.code == 0, told.err
    assert re.match(r"[\d.]+ ± [\d.]+ % \(95 % CI, 2 tasks × 10 queries, seed 0, transductive", told.out)
    assert cli("evaluate", tmp_path / "run").out.splitlines()[0] == told.out.splitlines()[0]


def test_a_folder_without_images_is_an_error_that_says_what_was_expected(cli, tmp_path):
    told = cli("train", "--tasks.folder", tmp_path / "none", "--out", tmp_path / "run")
    assert told.code == 1
    assert f"{tmp_path / 'none'} has too few class folders with images" in told.err
    assert not (tmp_path / "run").exists()


def test_the_name_of_a_recipe_may_come_after_options(cli):
    verb, name, *options = TRAIN
    before, after = (cli(verb, *words, "--seed", "3", "--dry-run") for words in ([name, *options], [*options, name]))
    assert (before.code, before.err) == (0, "")
    assert after == before


def test_a_run_folder_may_have_the_name_of_a_recipe(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = cli(*TRAIN, "--out", TRAIN[1], "--dry-run")
    assert told.code == 0, told.err
    assert json.loads(told.out)["folder"] == TRAIN[1]


def test_naming_the_kind_of_net_that_a_recipe_has_keeps_its_fields(cli):
    words = ["train", "strokes-5w1s-maml", *ALPHABETS, "--dry-run"]
    plain, named = (json.loads(cli(*words, *net).out) for net in ([], ["--net", "conv4"]))
    assert named == plain
    assert plain["recipe"]["net"]["filters"] == 32
    assert json.loads(cli(*words, "--net=mlp").out)["recipe"]["net"]["kind"] == "MLP"


def test_a_loss_that_does_not_fit_the_data_is_an_error(cli):
    told = cli("train", "strokes-5w1s-maml", *ALPHABETS, "--loss", "mean_squared_error", "--dry-run")
    assert (told.code, told.out) == (1, "")
    assert "the targets of these tasks are class ids: set loss='mean_cross_entropy'" in told.err


def test_evaluate_of_a_classifier_prints_percent_at_every_step(cli, tmp_path):
    assert cli(*STROKES, "--net", "mlp", "--out", tmp_path / "run").code == 0
    line, *steps = cli("evaluate", tmp_path / "run", "--steps", "2").out.splitlines()
    percent = r"[\d.]+ ± [\d.]+ %"
    assert re.fullmatch(rf"{percent} \(95 % CI, 4 tasks × 5 queries, seed 0, per query, 2 steps\)", line)
    assert all(re.fullmatch(rf"after {i} steps?: {percent}", step) for i, step in enumerate(steps))
    assert len(steps) == 3


def test_evaluate_takes_another_norm_policy_than_the_run_s(cli, tmp_path):
    assert cli(*STROKES, "--norm", "per_step", "--out", tmp_path / "run").code == 0
    kinds = {"transductive": "transductive", "support": "support statistics"}
    for norm, kind in kinds.items():
        assert f", {kind}, " in cli("evaluate", tmp_path / "run", "--norm", norm).out.splitlines()[0]
    assert ", per_step statistics, " in cli("evaluate", tmp_path / "run").out.splitlines()[0]


def test_ctrl_c_in_the_final_test_says_how_to_resume(cli, tmp_path, monkeypatch):
    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "finish", interrupted)
        told = cli(*TRAIN, "--out", folder)
    assert (told.code, told.out) == (130, "")
    assert f"trained and saved, not tested; `fewstep resume {folder}` tests it" in told.err
    assert not (folder / "result.json").exists()
    assert cli("resume", folder).code == 0
    assert json.loads((folder / "result.json").read_text())["updates"] == 1
