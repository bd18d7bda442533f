"""What the page of runs asks for, from recorded runs of this repository and from planted attacks."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fewstep.web.run_log import RunLog, curve_of
from tests.web.run_builders import RESULTS, SINUSOID, STROKES, planted_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_runs(tmp_path_factory.mktemp("playground"))


def listed(client: TestClient) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in client.get("/api/runs").json()["runs"]}


def test_runs_are_found_at_any_depth_and_a_damaged_one_says_why(client: TestClient) -> None:
    rows = listed(client)
    assert set(rows) == {STROKES, SINUSOID, "broken"}
    assert list(rows)[-1] == "broken"
    assert rows["broken"]["status"] == "damaged"
    assert "recipe.json is damaged" in rows["broken"]["problem"]


def test_a_row_says_what_the_result_says(client: TestClient) -> None:
    row = listed(client)[STROKES]
    assert row["result"] == json.loads((RESULTS / STROKES / "result.json").read_text())["line"]
    assert (row["status"], row["algorithm"], row["updates"], row["planned"]) == ("finished", "MAML", 500, 500)


def test_a_run_is_shown_with_steps_audit_recipe_and_commands(client: TestClient) -> None:
    detail = client.get("/api/runs/detail", params={"name": STROKES}).json()
    assert [step["step"] for step in detail["steps"]] == [0, 1, 2, 3]
    assert [found["name"] for found in detail["audit"]][:2] == ["derivative order", "gradients"]
    assert detail["fields"]["algorithm.inner-steps"] == "1"
    assert detail["files"] == ["report.html", "tasks.png", "adaptation.png"]
    assert detail["commands"]["audit"].startswith("fewstep audit ")


def test_curves_hold_every_validation_and_their_mean_is_that_of_the_log(client: TestClient) -> None:
    rows = [json.loads(line) for line in (RESULTS / STROKES / "metrics.jsonl").read_text().splitlines()]
    curves = client.get("/api/runs/curves", params={"name": STROKES}).json()
    validated = [(row["update"], row["score"]) for row in rows if row["kind"] == "validation"]
    assert [(one["update"], one["score"]) for one in curves["validation"]] == validated
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert len(curves["loss"]["mean"]) <= 240 < len(losses)
    assert max(curves["loss"]["high"]) == max(losses)
    assert min(curves["loss"]["low"]) == min(losses)


def test_unchanged_curves_are_not_sent_again(client: TestClient) -> None:
    first = client.get("/api/runs/curves", params={"name": SINUSOID})
    again = client.get("/api/runs/curves", params={"name": SINUSOID}, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_run_whose_folder_is_held_is_training(client: TestClient, runs: Path) -> None:
    descriptor = os.open(runs / STROKES, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert listed(client)[STROKES]["status"] == "training"
    finally:
        os.close(descriptor)
    assert listed(client)[STROKES]["status"] == "finished"


@pytest.mark.parametrize(
    "name",
    [
        *("../outside", "..", ".", "/etc", "linked", f"{STROKES}/../{STROKES}", f"./{STROKES}", f"{STROKES}/"),
        *("%2e%2e", "study", "\0", "broken/recipe.json", "C:\\runs", "x" * 400),
    ],
)
@pytest.mark.parametrize("what", ["detail", "curves", "file"])
def test_no_name_leads_out_of_the_folder(client: TestClient, what: str, name: str) -> None:
    answer = client.get(f"/api/runs/{what}", params={"name": name, "file": "tasks.png"})
    assert answer.status_code == 404
    assert "there is no run" in answer.json()["detail"]


@pytest.mark.parametrize(
    "file", ["../recipe.json", "recipe.json", "best.safetensors", "checkpoint-00000500.safetensors"]
)
def test_only_pictures_and_reports_are_served(client: TestClient, file: str) -> None:
    assert client.get("/api/runs/file", params={"name": STROKES, "file": file}).status_code == 422


def test_a_picture_is_served_and_one_that_is_a_link_out_is_not(client: TestClient) -> None:
    picture = client.get("/api/runs/file", params={"name": STROKES, "file": "tasks.png"})
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == (RESULTS / STROKES / "tasks.png").read_bytes()
    assert client.get("/api/runs/file", params={"name": STROKES, "file": "adaptation.png"}).status_code == 404


def test_a_report_may_run_no_script(client: TestClient) -> None:
    policy = client.get("/api/runs/file", params={"name": STROKES, "file": "report.html"}).headers
    assert policy["content-security-policy"].startswith("default-src 'none'")
    assert "script" not in policy["content-security-policy"]
    assert policy["content-security-policy"].endswith("sandbox")


def test_a_log_is_read_on_and_anew_where_it_was_cut(tmp_path: Path) -> None:
    path, log = tmp_path / "metrics.jsonl", RunLog(tmp_path)
    rows = [json.dumps({"kind": "train", "update": i, "loss": 1.0 / i}) + "\n" for i in range(1, 5)]
    log.read()
    assert log.trained == []
    path.write_text("".join(rows[:2]) + rows[2][:9])
    log.read()
    assert [row["update"] for row in log.trained] == [1, 2]  # the half-written third waits
    with path.open("a") as file:
        file.write(rows[2][9:] + "not json\n" + rows[3])
    log.read()
    assert [row["update"] for row in log.trained] == [1, 2, 3, 4]
    path.write_text(rows[0])
    log.read()
    assert [row["update"] for row in log.trained] == [1]


def test_values_that_are_not_finite_leave_no_point() -> None:
    rows = [{"update": i, "loss": value} for i, value in enumerate([2.0, float("nan"), None, float("inf"), 4.0])]
    assert curve_of(rows, "loss").mean == [2.0, 4.0]
    halves = curve_of(rows, "loss", most=1)
    assert (halves.update, halves.mean, halves.low, halves.high) == ([4], [3.0], [2.0], [4.0])
