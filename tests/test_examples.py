"""The assignment's files run, and their answers say what the code and the records say."""

import dataclasses
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fewstep import experiment

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "assignment"
RESULTS = ROOT / "results"
FILES = sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*.sh")])
ENGLISH, CHINESE = (FOLDER / name for name in ("README.md", "README.zh-TW.md"))
MISSING = {ENGLISH: "not recorded yet", CHINESE: "尚未記錄"}
RECIPES = {
    "p1_classification.py": ["course-5w1s-fomaml", "course-5w1s-maml"],
    "p1_regression.py": ["course-sinusoid-5s-maml", "course-sinusoid-5s-fomaml", "course-sinusoid-5s-pretrained"],
    "p2.py": ["course-5w1s-adagrad"],
    "p3.py": ["course-5w1s-doa"],
    "reptile.sh": ["course-5w1s-reptile"],
}
SMALL = [
    *["--updates", "2", "--threads", "1", "--chunk", "1", "--training.meta-batch", "2"],
    *["--training.validation-tasks", "2", "--evaluation.tasks", "2"],
]
NET = {"p1_regression.py": ["--net.hidden", "8"]}
BAR = r"testing ━+ 1/1 \[\d\d:\d\d<00:00, [\d.]+(it/s|s/it)\]"
LAST = r"Testing (accuracy|loss): \d+\.\d{3}"
PERCENT = r"\d+\.\d\d ± \d+\.\d\d %"


def run(name: str, *words: str | Path) -> None:
    """An example as the shell runs it: a Python file in this process, for importing torch takes seconds."""
    arguments = [str(word) for word in words]
    if name.endswith(".sh"):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", str(FOLDER / name), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        )
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        assert done.returncode == 0, done.stderr
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(FOLDER / name), run_name="__main__")
    assert not stop.value.code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_the_assignment_is_under_40_lines(path):
    assert len(path.read_text().splitlines()) < 40


def test_every_file_of_the_assignment_is_run_here_and_stands_in_both_readmes():
    assert [path.name for path in FILES] == sorted(RECIPES)
    assert all(f" {name} DATA OUT" in readme.read_text() for name in RECIPES for readme in (ENGLISH, CHINESE))


@pytest.mark.omniglot
@pytest.mark.parametrize("name", RECIPES)
def test_a_file_trains_and_tests_its_recipes_and_then_tests_them_again(name, real_data, tmp_path, capsys):
    words = [real_data, tmp_path, *SMALL, *NET.get(name, ["--net.filters", "4"])]
    run(name, *words)
    first = capsys.readouterr()
    lines = [line for line in first.out.splitlines() if line.startswith("Testing")]
    assert len(re.findall(BAR, first.err)) == len(RECIPES[name])
    assert re.fullmatch(LAST, first.out.splitlines()[-1])
    for line, recipe in zip(lines, RECIPES[name], strict=True):
        result = json.loads((tmp_path / recipe / "result.json").read_text())
        assert float(line.split(": ")[1]) == pytest.approx(result["at_step"][-1][0], abs=6e-4)
    run(name, *words)
    assert capsys.readouterr().out == first.out


@pytest.mark.omniglot
def test_one_order_of_the_classification_can_be_chosen(real_data, tmp_path, capsys):
    run("p1_classification.py", real_data, tmp_path, "--order", "1", "--net.filters", "4", *SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["course-5w1s-fomaml"]
    assert "derivative order  1, measured" in capsys.readouterr().err


def quotations(readme: Path) -> list[tuple[str, str]]:
    """Every block of Python, and the source file that was linked last before it."""
    text = readme.read_text()
    blocks = re.finditer(r"```python\n(.*?)```", text, re.S)
    return [(re.findall(r"\]\(\.\./\.\./(src/[\w/]+\.py)\)", text[: block.start()])[-1], block[1]) for block in blocks]


@pytest.mark.parametrize(("source", "block"), quotations(ENGLISH))
def test_quoted_lines_stand_together_in_the_source(source, block):
    quoted, lines = ([line.strip() for line in text.splitlines()] for text in (block, (ROOT / source).read_text()))
    windows = (lines[i : i + len(quoted)] for i in range(len(lines) - len(quoted) + 1))
    assert any(all(part in line for part, line in zip(quoted, window, strict=True)) for window in windows)


def test_both_languages_have_the_same_sections_code_rows_and_figures():
    english, chinese = ENGLISH.read_text(), CHINESE.read_text()
    for same in (
        r"^#+ (?:\d\.)?",
        r"```.*?```",
        r"<!-- .*? -->",
        r"^(?=\|)",
        r"^(?=- )",
        r"^\*\*",
        PERCENT,
        r"`[^`\n]+`",
    ):
        assert [*re.findall(same, english, re.M | re.S)] == [*re.findall(same, chinese, re.M | re.S)], same


@pytest.mark.parametrize("readme", MISSING, ids=lambda readme: readme.name)
def test_every_cell_with_a_figure_states_what_was_recorded(readme):
    """Written without `results/tables.py`, which fills the cells in."""
    text = readme.read_text()
    cells = re.findall(r"<!-- (\w+): ([\w-]+) ?(\d*) --> ([^|]*) \|", text)
    assert len(cells) == text.count("<!--")
    for kind, name, at, stated in cells:
        record = next((RESULTS / place / name for place in (".", "runs") if (RESULTS / place / name).exists()), None)
        assert stated == recorded(kind, record, at, MISSING[readme]), f"{name}: python results/tables.py"


def recorded(kind: str, record: Path | None, at: str, missing: str) -> str:
    if record is None:
        return missing if kind == "result" else "—"
    result = json.loads((record / "result.json").read_text())
    if kind == "updates":
        return str(result["updates"])
    if kind == "validation":
        rows = [json.loads(line) for line in (record / "metrics.jsonl").read_text().splitlines()]
        row = next((row for row in rows if row["kind"] == "validation" and row["update"] == int(at)), None)
        return "—" if row is None else f"{100 * row['score']:.2f} ± {100 * row['ci95']:.2f} %"
    if kind == "step":
        return "{:.4f} ± {:.4f}".format(*result["at_step"][int(at)])
    line = result[{"result": "line", "alone": "per_query_line"}[kind]]
    return line.partition(" (")[0].removeprefix("MSE ")


def test_what_is_recorded_fills_the_cells_and_nothing_else(monkeypatch):
    monkeypatch.syspath_prepend(RESULTS)
    tables = runpy.run_path(str(RESULTS / "tables.py"))
    assert tables["DOCUMENTS"] == MISSING
    for readme, missing in MISSING.items():
        text = readme.read_text()
        emptied = re.sub(r" -->[^|]*\|", " --> |", text)
        assert emptied != text
        assert tables["fill"](emptied, missing) == text


COSINES = re.findall(r"^\| `([\w-]+)` \| [\d.]+ \| (\d+) \| ([\d.]+) \| ([\d.]+) \|", ENGLISH.read_text(), re.M)


@pytest.mark.omniglot
@pytest.mark.parametrize(("name", "tasks", "untrained", "learned"), COSINES)
def test_the_cosines_of_the_two_orders_are_as_stated(name, tasks, untrained, learned, real_data):
    made = experiment.load(RESULTS / name, data_root=real_data)
    first, second = both_orders(made, int(tasks))
    assert torch.cosine_similarity(first, second).mean().item() == pytest.approx(float(untrained), abs=0.05)
    if made.built.learner.model.is_classifier:  # "about nine times as long"
        assert 7.5 < (second.mean(0).norm() / first.mean(0).norm()).item() < 10.5
    experiment.trained(made)
    first, second = both_orders(made, int(tasks))
    assert torch.cosine_similarity(first, second).mean().item() == pytest.approx(float(learned), abs=0.05)


def both_orders(made: experiment.Experiment, tasks: int) -> list[Tensor]:
    """The meta-gradients `[T, numbers]` of training tasks, in first and in second order."""
    batch, learner = made.built.splits.train.sample(0, "cosine", 0, tasks), made.built.learner

    def gradient(order: int, i: int) -> Tensor:
        algorithm = dataclasses.replace(made.recipe.algorithm, order=order)
        found = algorithm.meta_gradient(learner.model, learner.meta, batch.select(i), 0).gradient["theta"]
        return torch.cat([tensor.flatten() for tensor in found.values()])

    return [torch.stack([gradient(order, i) for i in range(tasks)]) for order in (1, 2)]
