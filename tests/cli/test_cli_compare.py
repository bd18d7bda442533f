"""`fewstep compare`."""

import re

import pytest

from fewstep.cli import main
from record_builders import result_of, train_rows, validation_rows, write_record

ROWS = [*train_rows([0.5] * 30), *validation_rows({10: 0.6, 30: 0.7})]


@pytest.fixture
def runs(tmp_path):
    """Two runs whose scores differ by 0, 0.2, 0.4 and 0.2."""
    scores = {"first": [0.8, 0.8, 1.0, 1.0], "second": [0.8, 0.6, 0.6, 0.8]}
    folders = [tmp_path / name for name in scores]
    for folder, per_task in zip(folders, scores.values(), strict=True):
        write_record(folder, "course-5w1s-maml", ROWS, result_of(per_task, updates=30))
    return [str(folder) for folder in folders]


def test_compare_prints_the_scores_and_the_paired_difference(runs, capsys):
    """Mean 0.2, variance (.04 + 0 + .04 + 0) / 3, error √(.026667 / 4) = 0.081650, 1.96 · error = 16.00 points,
    z = 2.44949, p = 0.01431.
    """
    assert main(["compare", *runs]) == 0
    out = capsys.readouterr().out
    assert re.search(r"first +90\.00 ± 0\.60 %", out)
    assert re.search(r"first minus second +\+20\.00 ± 16\.00 points +0\.0143 +3, 0, 1\n", out)


def test_compare_draws_a_page_where_it_is_told_to(runs, tmp_path, capsys):
    assert main(["compare", *runs, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith(f"report: {tmp_path / 'out' / 'compare.html'}\n")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"compare.html", "compare.md", "updates.png", "steps.png"}
    assert "+20.00 ± 16.00 points" in (tmp_path / "out" / "compare.html").read_text()
    assert "![" in (tmp_path / "out" / "compare.md").read_text()


def test_runs_tested_on_other_tasks_are_refused_and_one_run_is_too_few(runs, tmp_path, capsys):
    write_record(tmp_path / "other", "omniglot-5w1s-maml", result=result_of([1.0, 1.0], updates=1))
    assert main(["compare", runs[0], str(tmp_path / "other")]) == 1
    assert "these runs were not tested on the same tasks" in capsys.readouterr().err
    assert main(["compare", runs[0]]) == 1
    assert "compare needs two runs or more, got 1" in capsys.readouterr().err


def test_runs_of_one_folder_name_are_told_apart_by_their_paths(runs, tmp_path, capsys):
    write_record(tmp_path / "elsewhere" / "first", "course-5w1s-maml", result=result_of([0.8] * 4, updates=30))
    assert main(["compare", runs[0], str(tmp_path / "elsewhere" / "first")]) == 0
    assert str(tmp_path / "elsewhere" / "first") in capsys.readouterr().out
