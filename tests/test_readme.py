"""Every snippet of the README runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from fewstep.cli import main
from snippets import blocks, commands, draw_birds, draw_shapes, words_of

README = Path(__file__).parent.parent / "README.md"
PYTHON = [block.text for block in blocks(README) if block.language == "python"]
COMMANDS = [line for block in blocks(README) if block.language == "sh" for line in commands(block)]
VERBS = [words_of(line) for line in COMMANDS if line.startswith("fewstep ")]
SHARED = [words_of(line) for line in COMMANDS if line.startswith("torchrun ")]
TRAIN, AFTERWARDS = (
    [words for words in [*VERBS, *(words[words.index("fewstep") :] for words in SHARED)] if words[1] in verbs]
    for verbs in (("train",), ("resume", "evaluate", "audit", "adapt", "predict", "pack"))
)


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """A folder `birds`, in the working directory."""
    draw_birds(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A folder `shapes` and `new.png`, in the working directory."""
    draw_shapes(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("snippet", PYTHON, ids=["own images", "use", "own loop"])
def test_python_snippet_runs_in_a_fresh_process(snippet, birds, shapes):
    environment = {**os.environ, "PYTHONWARNINGS": "error,ignore:Lazy modules:UserWarning"}
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.omniglot
@pytest.mark.parametrize("words", TRAIN, ids=" ".join)
def test_train_command_resolves(words, real_data, birds, capsys):
    assert main([*words[1:], "--dry-run", "--data-root", str(real_data)]) == 0
    assert '"recipe"' in capsys.readouterr().out


@pytest.mark.omniglot
def test_commands_after_training_run(real_data, shapes, capsys):
    small = ["--net.filters", "4", "--training.meta-batch", "2", "--training.validation-tasks", "4"]
    few = ["--evaluation.tasks", "4", "--updates", "2", "--chunk", "1"]
    assert main(["train", "omniglot-5w1s-maml", *small, *few, "--data-root", str(real_data)]) == 0
    for words in AFTERWARDS:
        data = [] if words[1] == "predict" else ["--data-root", str(real_data)]
        assert main([*words[1:], *data]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("words", [words for words in VERBS if words[1] == "compare"], ids=" ".join)
def test_compare_runs_on_recorded_runs(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results = Path(__file__).parent.parent / "results"
    for run in words[2:]:
        shutil.copytree(results / Path(run).name.removesuffix("-s0"), tmp_path / run)
    assert main(words[1:]) == 0
    assert "course-5w1s-fomaml" in capsys.readouterr().out


@pytest.mark.parametrize("words", [words for words in VERBS if words[1] == "study"], ids=" ".join)
def test_study_commands_resolve(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = Path(words[words.index("--out") + 1] if "--out" in words else f"studies/{words[2]}")
    out.mkdir(parents=True)
    assert main([*words[1:], "--report-only"]) == 0
    assert (out / "study.html").exists()


def test_other_commands_run(capsys):
    assert ["fewstep", "recipes"] in VERBS
    assert main(["recipes"]) == 0
    assert "strokes-5w1s-maml" in capsys.readouterr().out


@pytest.mark.parametrize("words", SHARED, ids=" ".join)
def test_commands_of_several_processes_are_launched_as_test_ranks_launches_them(words):
    launcher = get_args_parser().parse_args(words[1:])
    assert (launcher.module, launcher.training_script) == (True, "fewstep")
    assert (launcher.standalone, launcher.nproc_per_node) == (True, "2")


def test_make_targets_of_the_readme_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(COMMANDS), re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
