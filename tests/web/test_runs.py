"""What the page of runs asks for, from recorded runs of this repository and from planted attacks."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from planted_runs import RESULTS, SINUSOID, STROKES, planted_runs

from fewstep.web.app import create_app
from fewstep.web.run_log import RunLog, Trained, curve_of
from fewstep.web.settings import Settings


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
    assert (row["status"], row["algorithm"], row["updates"], row["planned"]) == (
        "finished",
        "MAML, 1 inner step",
        500,
        500,
    )


def test_a_run_is_shown_with_steps_audit_recipe_and_commands(client: TestClient) -> None:
    detail = client.get("/api/runs/detail", params={"name": STROKES}).json()
    assert [step["step"] for step in detail["steps"]] == [0, 1, 2, 3]
    assert [found["name"] for found in detail["audit"]][:2] == ["derivative order", "gradients"]
    assert detail["fields"]["algorithm.inner-steps"] == "1"
    assert detail["files"] == ["report.html", "tasks.png"]  # the third is a link out
    assert detail["commands"]["audit again"].startswith("fewstep audit ")


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


def test_an_unchanged_list_is_not_sent_again_and_a_changed_one_is(client: TestClient, runs: Path) -> None:
    tag = {"if-none-match": client.get("/api/runs").headers["etag"]}
    assert client.get("/api/runs", headers=tag).status_code == 304
    (runs / STROKES / "metrics.jsonl").touch()
    assert client.get("/api/runs", headers=tag).status_code == 200


def test_every_recorded_run_of_this_repository_can_be_shown() -> None:
    with TestClient(create_app(Settings(runs=RESULTS)), base_url="http://localhost") as client:
        rows = listed(client)
        assert len(rows) > 20
        for name, row in rows.items():
            assert row["problem"] == ""
            for what in ("detail", "curves"):
                assert client.get(f"/api/runs/{what}", params={"name": name}).status_code == 200


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A run that a test may change."""
    shutil.copytree(RESULTS / STROKES, tmp_path / "runs" / "one")
    return tmp_path / "runs" / "one"


def shown(folder: Path) -> tuple[dict[str, Any], list[int]]:
    """The row of a run, and the statuses of its other addresses."""
    with TestClient(create_app(Settings(runs=folder.parent)), base_url="http://localhost") as client:
        row = listed(client)["one"]
        answers = [client.get(f"/api/runs/{what}", params={"name": "one"}) for what in ("detail", "curves")]
    return row, [answer.status_code for answer in answers]


def test_a_run_without_result_is_untested_stopped_or_diverged(copied: Path) -> None:
    (copied / "result.json").unlink()
    assert shown(copied)[0]["status"] == "untested"
    log = copied / "metrics.jsonl"
    rows = log.read_text().splitlines(keepends=True)
    log.write_text("".join(rows[:100]))
    assert shown(copied)[0]["status"] == "stopped"
    with log.open("a") as file:
        file.write(json.dumps({"kind": "diverged", "update": 99, "reason": "the loss is inf"}) + "\n")
    row, _ = shown(copied)
    assert (row["status"], row["problem"]) == ("diverged", "the loss is inf")
    with log.open("a") as file:
        file.write(rows[100])
    assert shown(copied)[0]["status"] == "stopped"  # it has gone on since


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("recipe.json", content) for content in ("", "[]", "null", '{"format": 1}', '{"format": 2}', "\udcff")),
        *(("result.json", content) for content in ("", "[]", "null", "{}", '{"line": "100 %"}', "[" * 9999)),
    ],
)
def test_a_damaged_run_is_listed_with_one_line_that_names_the_file(copied: Path, file: str, content: str) -> None:
    (copied / file).write_bytes(content.encode(errors="surrogateescape"))
    row, statuses = shown(copied)
    assert (row["status"], statuses) == ("damaged", [409, 409])
    assert file in row["problem"]
    assert "\n" not in row["problem"]


@pytest.mark.parametrize("field", ["seed", "mapping", "device", "ranks", "recipe"])
def test_a_field_of_the_wrong_kind_is_damage(copied: Path, field: str) -> None:
    header = json.loads((copied / "recipe.json").read_text())
    (copied / "recipe.json").write_text(json.dumps({**header, field: [[1]]}))
    row, statuses = shown(copied)
    assert (row["status"], statuses) == ("damaged", [409, 409])


def test_damaged_lines_of_a_log_are_passed_over(copied: Path) -> None:
    lines = ["null", "[1]", '{"kind": "train"}', '{"kind": "train", "update": 1e400}', '{"kind": "audit", "checks": 1}']
    lines += [
        '{"kind": "validation", "update": 1, "score": "high", "ci95": NaN}',
        '{"kind": "train", "update": -1}',
        "\0",
    ]
    with (copied / "metrics.jsonl").open("a") as file:
        file.write("\n".join(lines) + "\n")
    row, statuses = shown(copied)
    assert (row["status"], row["updates"], statuses) == ("finished", 500, [200, 200])


@pytest.mark.parametrize("file", ["recipe.json", "metrics.jsonl", "result.json"])
def test_a_file_of_a_run_that_is_a_link_out_or_a_pipe_is_not_read(copied: Path, tmp_path: Path, file: str) -> None:
    (copied / file).rename(tmp_path / file)
    (copied / file).symlink_to(tmp_path / file)
    row, statuses = shown(copied)
    assert (row["status"], statuses) == ("damaged", [409, 409])
    assert f"{file} is no file of this folder itself" in row["problem"]
    (copied / file).unlink()
    os.mkfifo(copied / file)  # who opens it waits for ever
    assert shown(copied)[0]["status"] == "damaged"


@pytest.mark.parametrize("address", ["/api/runs", "/api/runs/detail", "/api/runs/curves", "/api/runs/file"])
def test_other_origins_names_and_large_bodies_are_refused(client: TestClient, address: str) -> None:
    assert client.get(address, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get(address, headers={"host": "evil.example"}).status_code == 403
    large = {"content-length": str(Settings().body_limit + 1)}
    assert client.request("GET", address, headers=large).status_code == 413
    assert client.post(address).status_code == 405


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
    assert [row.update for row in log.trained] == [1, 2]  # the half-written third waits
    with path.open("a") as file:
        file.write(rows[2][9:] + "not json\n" + rows[3])
    log.read()
    assert [row.update for row in log.trained] == [1, 2, 3, 4]
    path.write_text(rows[0])
    log.read()
    assert [row.update for row in log.trained] == [1]


def test_values_that_are_not_finite_leave_no_point() -> None:
    values = [2.0, float("nan"), None, float("inf"), 4.0]
    rows = [Trained(kind="train", update=i, loss=value) for i, value in enumerate(values)]
    curve = curve_of(rows, lambda row: row.loss)
    assert (curve.update, curve.mean, curve.low, curve.high) == ([0, 4], [2.0, 4.0], [2.0, 4.0], [2.0, 4.0])


@pytest.mark.parametrize(("rows", "points"), [(0, 0), (7, 7), (100, 24), (600, 120), (5000, 240)])
def test_a_curve_has_few_points_and_each_is_the_mean_of_its_stretch(rows: int, points: int) -> None:
    counted = [Trained(kind="train", update=i, loss=i) for i in range(rows)]
    curve = curve_of(counted, lambda row: row.loss)
    assert len(curve.mean) == points
    for last, mean, low, high in zip(curve.update, curve.mean, curve.low, curve.high, strict=True):
        assert (high, mean) == (last, (low + high) / 2)
    assert curve.low[1:] == [high + 1 for high in curve.high[:-1]]


def test_a_run_with_an_algorithm_of_ones_own_is_shown_and_none_of_its_code_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "theirs"
    shutil.copytree(RESULTS / STROKES, run)
    header = json.loads((run / "recipe.json").read_text())
    header["recipe"]["algorithm"] = {"kind": "planted_module:Mine", "anything": 1}
    (run / "recipe.json").write_text(json.dumps(header))
    (tmp_path / "planted_module.py").write_text("raise SystemExit('this ran')")
    monkeypatch.chdir(tmp_path)
    app = create_app(Settings(runs=tmp_path / "runs"))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        row = client.get("/api/runs").json()["runs"][0]
        detail = client.get("/api/runs/detail", params={"name": "theirs"})
        assert client.get("/api/teach/learners").status_code == 200
    assert (row["status"], row["algorithm"]) == ("finished", "Mine")
    assert detail.json()["fields"]["algorithm.kind"] == "planted_module:Mine"
