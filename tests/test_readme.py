"""Every snippet of the README runs."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from torch.distributed.run import get_args_parser

from fewstep.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()]
VERBS = [shlex.split(line, comments=True) for line in COMMANDS if line.startswith("fewstep ")]
SHARED = [shlex.split(line, comments=True) for line in COMMANDS if line.startswith("torchrun ")]
TRAIN, AFTERWARDS = (
    [words for words in [*VERBS, *(words[words.index("fewstep") :] for words in SHARED)] if words[1] in verbs]
    for verbs in (("train",), ("resume", "evaluate", "audit", "adapt", "predict", "pack"))
)


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """A folder `birds` of 24 noisy colours, in the working directory."""
    rng = np.random.default_rng(0)
    for bird in range(24):
        folder = tmp_path / "birds" / f"bird{bird:02d}"
        folder.mkdir(parents=True)
        for i in range(8):
            noisy = rng.integers(0, 200, 3) + rng.integers(0, 40, (30, 20, 3))
            Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A folder `shapes` of five symbols, drawn twice each, and `new.png`, in the working directory."""
    rng = np.random.default_rng(0)
    for shape in range(5):
        folder = tmp_path / "shapes" / f"shape{shape}"
        folder.mkdir(parents=True)
        strokes = rng.integers(10, 95, (3, 4))
        for i in range(2):
            image = Image.new("L", (105, 105), 255)
            for stroke in strokes + rng.integers(-3, 4, strokes.shape):
                ImageDraw.Draw(image).line(stroke.tolist(), fill=0, width=4)
            image.save(folder / f"{i}.png")
    shutil.copy(folder / "1.png", tmp_path / "new.png")
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
