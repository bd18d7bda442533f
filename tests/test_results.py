"""What the documents state of results is what was recorded, and the records still open."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from fewstep import recipes
from fewstep.recipe import from_json, identity_of
from fewstep.run_folder import read_header

ROOT = Path(__file__).parent.parent
RECORDS = sorted(path.parent for place in (".", "runs") for path in (ROOT / "results" / place).glob("*/result.json"))


def result_of(record: Path) -> dict:
    return json.loads((record / "result.json").read_text())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_recorded_result_stands_in_the_table_word_by_word(record):
    row = f"{result_of(record)['line']} |"
    assert row in (ROOT / "results" / "README.md").read_text()
    assert result_of(record)["versions"]["commit"].rstrip("+") in (ROOT / "results" / "README.md").read_text()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_run_that_was_cut_lies_apart_and_the_table_says_so(record):
    result, planned = result_of(record), read_header(record)["recipe"]["training"]["updates"]
    is_cut = result["status"] != "finished"
    assert (record.parent.name == "runs") == is_cut
    row = next(row for row in (ROOT / "results" / "README.md").read_text().splitlines() if result["line"] in row)
    assert (f"{result['updates']} of {planned} updates" in row) == is_cut


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_recorded_run_opens_with_the_checkpoint_of_its_recipe(record):
    header = read_header(record)
    assert from_json(header["recipe"]).name == recipes.find(record.name).name
    newest = sorted(record.glob("checkpoint-*.safetensors"))[-1]
    assert f'"identity": "{identity_of(header["recipe"], header["seed"])}"' in _metadata(newest)


def test_the_readme_states_no_accuracy_that_was_not_recorded():
    lines = (ROOT / "README.md").read_text().splitlines()
    for record in RECORDS:
        rows = [line for line in lines if line.startswith(f"| `{record.name}`")]
        value = result_of(record)["line"].partition(" (")[0]
        if rows and "%" in value:
            assert value in rows[0]


SEARCHED = [json.loads(line) for line in (ROOT / "results" / "search-fast.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", SEARCHED, ids=lambda row: row["setting"])
def test_the_table_of_the_search_is_what_was_recorded(row):
    mean, ci95 = row["validation"][-1]
    cells = (row["setting"], row["tasks"], f"{row['cpu_minutes']:.2f}", f"{mean:.2f} ± {ci95:.2f} %")
    assert f"| {' | '.join(map(str, cells))} |" in (ROOT / "results" / "README.md").read_text()


def test_the_fast_recipe_is_the_setting_that_the_search_found_best():
    best, fast = max(SEARCHED, key=lambda row: row["validation"][-1][0]), recipes.find("omniglot-5w1s-fast")
    found = from_json(best["recipe"])
    assert (fast.train_tasks, fast.net, fast.norm, fast.algorithm) == (
        found.train_tasks,
        found.net,
        found.norm,
        found.algorithm,
    )
    outer = [(one.meta_batch, one.lr, one.schedule) for one in (fast.training, found.training)]
    assert outer[0] == outer[1]


def _metadata(path: Path) -> str:
    with safe_open(path, framework="pt") as file:
        return file.metadata()["fewstep"]
