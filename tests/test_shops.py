"""The example of a table runs, and its README states what was recorded."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "shops"
RECORD = json.loads((ROOT / "results" / "shops.json").read_text())
MSE = RECORD["mse"]


@pytest.fixture
def sales(monkeypatch):
    """The module `sales` of the example."""
    monkeypatch.syspath_prepend(FOLDER)
    yield runpy.run_path(str(FOLDER / "sales.py"))
    sys.modules.pop("sales", None)


def test_the_script_runs_and_records_every_method_and_step(sales, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["shops.py", str(tmp_path), "--updates", "2", "--tasks", "20"])
    runpy.run_path(str(FOLDER / "shops.py"), run_name="__main__")
    record = json.loads((tmp_path / "result.json").read_text())
    assert list(record["mse"]) == list(MSE)
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == list(MSE)
    lines = (tmp_path / "shops.csv").read_text().splitlines()
    assert len(lines) == 1 + sales["SHOPS"] * sales["WEEKS"]


def test_the_readme_states_what_was_recorded_and_nothing_else():
    text = (FOLDER / "README.md").read_text()
    rows = [row for row in text.splitlines() if " ± " in row]
    assert rows == [f"| {name} | {mean:.1f} ± {ci95:.1f} |" for name, (mean, ci95) in MSE.items()]
    assert f"{RECORD['updates']} updates" in text
    assert f"{RECORD['tasks']} forecasts" in text


def test_the_best_possible_error_is_that_of_the_posterior_of_a_linear_model(sales):
    """By precisions, where the example goes by covariances: (Σ⁻¹ + ΦᵀΦ/σ²)⁻¹, over all windows of 8 + 12 weeks."""
    shapes, spread, noise = sales["shapes"], sales["SPREAD"], sales["NOISE"]
    risks = []
    for first in range(sales["WEEKS"] - 19):
        known, asked = shapes(np.arange(first, first + 8)), shapes(np.arange(first + 8, first + 20))
        posterior = np.linalg.inv(np.diag(spread**-2.0) + known.T @ known / noise**2)
        risks.append(np.einsum("ni,ij,nj->n", asked, posterior, asked).mean() + noise**2)
    mean, ci95 = MSE["best possible"]
    assert abs(mean - np.mean(risks)) < 1.5 * ci95


def test_what_ignores_the_shop_errs_by_the_spread_of_shops(sales):
    year = sales["shapes"](np.arange(sales["WEEKS"]))
    windows = [np.arange(first + 8, first + 20) for first in range(sales["WEEKS"] - 19)]
    expected = np.mean([(year[week] ** 2 @ sales["SPREAD"] ** 2).mean() for week in windows]) + sales["NOISE"] ** 2
    mean, ci95 = MSE["best that ignores the eight weeks"]
    assert abs(mean - expected) < 2.5 * ci95  # a quarter of the shops, which are drawn again and again


def test_maml_lies_between_the_best_possible_and_everything_else():
    last = MSE["MAML, step 10"][0]
    others = [mean for name, (mean, _) in MSE.items() if not name.startswith("MAML") and name != "best possible"]
    assert MSE["best possible"][0] < last < min(others)
