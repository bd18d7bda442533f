"""Curves that bend to points are those of `fewstep.adapt`, and nothing but points is taken."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

import fewstep
from fewstep import recipe as recipes
from fewstep.algorithms.maml import MAML
from fewstep.learner_file import read_learner, shipped_for_values, write_learner
from fewstep.recipes import find

RESULTS = Path(__file__).parent.parent.parent / "results"
POINTS = [{"x": -4.0, "y": 1.5}, {"x": -1, "y": -2.25}, {"x": 0.5, "y": 0.0}, {"x": 3.75, "y": 2.0}]
SUPPORT = fewstep.Examples(*(torch.tensor([[point[name]] for point in POINTS]) for name in ("x", "y")))
OWN = {"mine": RESULTS / "sinusoid-10s-fomaml", "course": RESULTS / "course-sinusoid-5s-maml"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on sinusoids, one on images, one that has learned nothing, a learner file that diverges, and a ruin."""
    folder = tmp_path_factory.mktemp("curves")
    for name, record in OWN.items():
        shutil.copytree(record, folder / name, ignore=shutil.ignore_patterns("*.png", "metrics.jsonl"))
    for name, record in (("images", "strokes-5w1s-maml"), ("new", "sinusoid-10s-maml")):
        (folder / name).mkdir()
        shutil.copy(RESULTS / record / "recipe.json", folder / name)
    packed = read_learner(shipped_for_values()["sinusoid-maml"])
    wild = dataclasses.replace(packed.recipe, algorithm=MAML(inner_lr=1e6))
    write_learner(folder / "wild.fewstep-learner", packed._replace(recipe=wild))
    (folder / "ruin.fewstep-learner").write_bytes(b"\x00" * 64)
    (folder / "notes.txt").write_text("no run")
    return folder


def bend(client: TestClient, **asked: Any) -> dict[str, Any]:
    """The curves of every learner, with the x of all of them as `x`."""
    answer = client.post("/api/curves/bend", json={"points": POINTS, **asked})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return {"x": body["x"], **{one["learner"]: one for one in body["learners"]}}


@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize(
    ("learner", "source"), [("maml", "sinusoid-maml"), ("reptile", "sinusoid-reptile"), ("own", OWN["mine"])]
)
def test_a_curve_is_that_of_the_adapted_model(client: TestClient, learner: str, source: str | Path, steps: int) -> None:
    bent = bend(client, steps=7, own="mine")
    model = fewstep.adapt(source, SUPPORT, steps=steps)
    expected = model(torch.tensor(bent["x"])[:, None]).squeeze(-1)
    torch.testing.assert_close(torch.tensor(bent[learner]["curves"][steps]), expected, rtol=0, atol=1e-4)
    loss = (model(SUPPORT.x) - SUPPORT.y).square().mean().item()
    assert bent[learner]["losses"][steps] == pytest.approx(loss, abs=1e-4)


def test_the_untrained_net_is_the_one_that_mamls_training_began_with(client: TestClient, tmp_path: Path) -> None:
    bent = bend(client, steps=0)
    start = recipes.build(find("sinusoid-10s-maml"), tmp_path, seed=0).learner
    expected = start.predict(start.meta.learned["theta"], torch.tensor(bent["x"])[:, None]).detach().squeeze(-1)
    torch.testing.assert_close(torch.tensor(bent["untrained"]["curves"][0]), expected, rtol=0, atol=1e-4)


def test_fewer_steps_are_the_first_of_more(client: TestClient) -> None:
    few, many = bend(client, steps=3.0), bend(client)  # 3.0 is an integer of JSON
    for name in ("maml", "reptile", "untrained"):
        assert len(many[name]["curves"]) == len(many[name]["losses"]) == 33
        assert few[name] == {part: many[name][part][:4] for part in ("curves", "losses")} | {"learner": name}


def test_a_curve_that_diverges_is_cut_before_it_does(client: TestClient) -> None:
    bent = bend(client, own="wild.fewstep-learner")["own"]
    assert 1 <= len(bent["curves"]) == len(bent["losses"]) < 33
    assert all(map(math.isfinite, bent["losses"]))


def test_a_drawn_sinusoid_goes_through_its_points(client: TestClient) -> None:
    """Of every sinusoid of period 2π, f(x + h) + f(x − h) = 2 cos h · f(x); between places it is nearly straight."""
    drawn, x = client.get("/api/curves/sinusoid?seed=3&count=9").json(), bend(client, steps=0)["x"]
    truth, h = drawn["truth"], x[1] - x[0]
    for i in range(1, len(x) - 1):
        assert truth[i + 1] + truth[i - 1] == pytest.approx(2 * math.cos(h) * truth[i], abs=3e-4)
    assert len(drawn["points"]) == 9
    for point in drawn["points"]:
        place = (point["x"] - x[0]) / h
        i, share = int(place), place % 1
        assert (1 - share) * truth[i] + share * truth[i + 1] == pytest.approx(point["y"], abs=5 * h**2 / 8 + 1e-3)


def test_a_seed_draws_the_same_sinusoid_again(client: TestClient) -> None:
    first, again, other = (client.get(f"/api/curves/sinusoid?seed={seed}").json() for seed in (1, 1, 2))
    assert first == again != other


def test_only_what_was_trained_on_points_can_be_chosen(client: TestClient) -> None:
    choice = client.get("/api/curves/learners").json()
    assert choice["own"] == ["course", "mine", "wild.fewstep-learner"]
    assert choice["figures"]["maml"].startswith("MSE 0.1027 ± 0.0108")


@pytest.mark.parametrize(
    "own", ["images", "new", "ruin.fewstep-learner", "notes.txt", "../curves", "/etc", "", ".", "\0"]
)
def test_a_name_of_no_learner_for_points_is_not_found(client: TestClient, own: str) -> None:
    answer = client.post("/api/curves/bend", json={"points": POINTS, "own": own})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        '{"points": []}',
        '{"points": [{"x": NaN, "y": 0}]}',
        '{"points": [{"x": 0, "y": Infinity}]}',
        '{"points": [{"x": 0, "y": 1e999}]}',
        '{"points": [{"x": 5.01, "y": 0}]}',
        '{"points": [{"x": 0, "y": -10.1}]}',
        '{"points": [{"x": "0", "y": 0}]}',
        '{"points": [{"x": true, "y": 0}]}',
        '{"points": [{"x": 0}]}',
        '{"points": [{"x": 0, "y": 0, "z": 0}]}',
        '{"points": [{"x": 0, "y": 0}], "steps": 33}',
        '{"points": [{"x": 0, "y": 0}], "steps": -1}',
        '{"points": [{"x": 0, "y": 0}], "steps": 1.5}',
        '{"points": [{"x": 0, "y": 0}], "step": 1}',
        json.dumps({"points": [{"x": 10**400, "y": 0}]}),
        json.dumps({"points": [{"x": 0, "y": 0}] * 51}),
        "[]",
        "",
    ],
)
def test_what_is_no_set_of_points_is_refused(client: TestClient, body: str) -> None:
    answer = client.post("/api/curves/bend", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]
