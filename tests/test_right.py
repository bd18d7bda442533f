"""What docs/right.md states was recorded, and its snippets run."""

import json
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from fewstep.cli import main

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "right.md").read_text()
ROWS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "results" / "right").glob("*.json")}
TABLES = dict(re.findall(r"<!-- measured: (\w+) -->\n(.*?)<!-- end -->", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
FEW = {"train": ["--dry-run"], "evaluate": ["--tasks", "4"], "data": [], "audit": [], "compare": []}


def recorded_scores() -> set[tuple[str, str]]:
    """Mean and half width of everything recorded for the page, and of the recorded runs, as two decimals."""
    rows = [row for topic in ROWS.values() for row in topic.values()]
    results = [json.loads(path.read_text()) for path in (ROOT / "results").glob("course-5w1s-mamlpp/evaluated-*.json")]
    results += [json.loads(path.read_text()) for path in (ROOT / "results").glob("*/result.json")]
    pairs = [row[kind] for row in rows for kind in ("accuracy", "each_with_support")]
    in_parts = [pair for result in results for pair in (result["at_step"][-1], result["per_query"])]
    return {(f"{mean:.2f}", f"{ci95:.2f}") for mean, ci95 in [*pairs, *([100 * a, 100 * b] for a, b in in_parts)]}


@pytest.fixture
def tables(monkeypatch):
    """The module that makes the page's tables."""
    monkeypatch.syspath_prepend(ROOT / "results")
    import right_tables

    return right_tables


def test_every_table_of_the_page_is_made_of_the_records(tables):
    assert set(TABLES) == set(tables.TABLES)
    assert tables.fill(PAGE) == PAGE


def test_every_accuracy_of_the_page_was_recorded():
    stated = set(re.findall(r"(\d+\.\d\d) ± (\d+\.\d\d) %", PAGE)) - {("100.00", "0.00")}
    assert stated
    assert stated <= recorded_scores()


def test_every_figure_of_the_prose_stands_in_a_table_or_was_recorded():
    quoted = {"97.68", "95.39", "1.96", "0.00", "100.00"}  # Reptile's paper; the normal quantile; a test without errors
    recorded = {text for pair in recorded_scores() for text in pair}
    prose = re.sub(r"```.*?```|<!-- measured.*?<!-- end -->", "", PAGE, flags=re.DOTALL)
    stated = set(re.findall(r"\d+\.\d\d", prose))
    assert len(stated) > len(quoted)
    assert {number for number in stated - quoted - recorded if number not in "".join(TABLES.values())} == set()


def test_the_spread_of_small_tests_follows_from_the_scores_of_their_tasks():
    right = "".join(row["right"] for row in ROWS["noise"].values())
    figures = [
        20 * statistics.mean(map(int, right[i : i + 20])) for i in range(0, len(right), 20)
    ]  # 5 queries: 20 % each
    row = next(line for line in TABLES["noise"].splitlines() if line.startswith("| 20 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == str(len(right) // 20)
    assert cells[2:4] == [f"{min(figures):.2f} to {max(figures):.2f} %", f"{statistics.stdev(figures):.2f}"]


def test_the_scores_of_the_tasks_have_the_mean_that_is_stated():
    for row in [*ROWS["noise"].values(), *ROWS["selection"].values()]:
        assert 20 * statistics.mean(map(int, row["right"])) == pytest.approx(row["accuracy"][0], abs=0.005)
        assert len(row["right"]) == row["tasks"]


def test_every_row_says_how_it_was_made():
    for topic, rows in ROWS.items():
        for row in rows.values():
            assert row["command"] == f"python results/right.py {topic}"
            assert re.fullmatch(r"[0-9a-f]{12}", row["commit"])
            assert row["cpu_seconds"] > 0
            assert row["seed"] >= 0


@pytest.mark.omniglot
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("fewstep ")])
def test_command_of_the_page_runs(command, real_data, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)[1:]
    at_most = FEW[words[0]] if "--tasks" not in words else []
    words = ["4" if before == "--tasks" else word for before, word in zip(["", *words], words, strict=False)]
    assert main([*words, *at_most, "--data-root", str(real_data)]) == 0, capsys.readouterr().err


def test_the_snippet_of_the_page_runs():
    for snippet in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "inner_lr=2.0" in done.stdout
