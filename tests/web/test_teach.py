"""What the page "Teach me a symbol" asks for: lessons of drawings, what they answer, and what is refused."""

import base64
import io
import itertools
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw

import fewstep
from fewstep.cli import main
from fewstep.learner_file import shipped
from fewstep.web.lessons import Lesson, Lessons, shown_steps

SHAPES = {
    "cross": [(30, 50, 75, 50), (52, 25, 52, 80)],
    "angle": [(30, 25, 30, 80), (30, 80, 75, 80)],
    "bar": [(52, 20, 52, 82)],
}
RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A learner file and a run; a damaged file, one behind a link that leads out, and a run without a checkpoint."""
    outside, root = tmp_path_factory.mktemp("outside"), tmp_path_factory.mktemp("runs")
    source = shipped()["omniglot"].read_bytes()
    (root / "mine.fewstep-learner").write_bytes(source)
    (root / "broken.fewstep-learner").write_bytes(source[:100])
    (outside / "other.fewstep-learner").write_bytes(source)
    (root / "linked.fewstep-learner").symlink_to(outside / "other.fewstep-learner")
    shutil.copytree(RESULTS / "strokes-5w1s-maml", root / "five")
    shutil.copytree(RESULTS / "strokes-5w1s-maml", root / "untrained", ignore=shutil.ignore_patterns("*.safetensors"))
    return root


def picture(strokes: list[tuple[int, int, int, int]], shift: int = 0) -> Image.Image:
    paper = Image.new("L", (105, 105), 255)
    for line in strokes:
        ImageDraw.Draw(paper).line([value + shift for value in line], fill=0, width=4)
    return paper


def sent(image: Image.Image, kind: str = "PNG") -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def taught(client: TestClient, learner: str = "omniglot-protomaml", **symbols: list[str]) -> dict:
    symbols = symbols or {name: [sent(picture(strokes))] for name, strokes in SHAPES.items()}
    answer = client.post("/api/teach/lessons", json={"learner": learner, "symbols": symbols})
    assert answer.status_code == 201, answer.text
    return answer.json()


def guessed(client: TestClient, lesson: dict, drawing: str) -> dict:
    answer = client.post(f"/api/teach/lessons/{lesson['id']}/guess", json={"drawing": drawing})
    assert answer.status_code == 200, answer.text
    return answer.json()


def named(client: TestClient, lesson: dict, drawing: str) -> str:
    return lesson["classes"][int(np.argmax(guessed(client, lesson, drawing)["probabilities"][-1]))]


def test_shapes_shifted_a_little_are_named_after_every_inner_step(client: TestClient) -> None:
    lesson = taught(client)
    assert [one["step"] for one in lesson["steps"]] == [0, 1, 2, 3]
    assert [one["accuracy"] for one in lesson["steps"]] == [1, 1, 1, 1]
    for name, strokes in SHAPES.items():
        assert named(client, lesson, sent(picture(strokes, 3))) == name
    guess = guessed(client, lesson, sent(picture(SHAPES["bar"], 3)))
    assert np.sum(guess["probabilities"], axis=1) == pytest.approx([1] * 4)


def test_a_learner_in_closed_form_has_one_step_to_show(client: TestClient) -> None:
    lesson = taught(client, "omniglot")
    assert lesson["steps"] == [{"step": 0, "accuracy": 1.0}]


def test_novelty_is_there_once_measured_and_higher_for_what_was_not_taught(client: TestClient) -> None:
    lesson = taught(client)
    known, unknown = (
        sent(picture(SHAPES["cross"], 1)),
        sent(picture([(20, 20, 85, 85), (85, 20, 20, 85), (20, 85, 85, 85)])),
    )
    assert guessed(client, lesson, known)["novelty"] is None
    assert client.post(f"/api/teach/lessons/{lesson['id']}/novelty").json() == {"examples": 3}
    assert guessed(client, lesson, known)["novelty"] < 0.2 < guessed(client, lesson, unknown)["novelty"]


def test_the_downloaded_model_predicts_the_same_on_the_command_line(
    client: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson, drawing = taught(client), picture(SHAPES["angle"], 4)
    answer = client.get(f"/api/teach/lessons/{lesson['id']}/model")
    assert "symbols.fewstep" in answer.headers["content-disposition"]
    model, image = tmp_path / "symbols.fewstep", tmp_path / "drawing.png"
    model.write_bytes(answer.content)
    drawing.save(image)
    assert main(["predict", str(model), str(image)]) == 0
    assert f"{image}  angle" in capsys.readouterr().out
    shown = guessed(client, lesson, sent(drawing))["probabilities"][-1]
    probabilities = fewstep.load(model).fewstep.predict(image)[0].probabilities
    assert [probabilities[name] for name in lesson["classes"]] == pytest.approx(shown, abs=1e-5)


def test_learners_of_ones_own_can_be_chosen_but_not_damaged_untrained_or_linked_ones(client: TestClient) -> None:
    listed = client.get("/api/teach/learners").json()
    package, own = ["omniglot-protomaml", "omniglot", "omniglot-mamlpp"], ["runs/five", "runs/mine.fewstep-learner"]
    assert {one["name"]: one["ways"] for one in listed} == {
        **dict.fromkeys([*package, *own]),
        "runs/five": 5,
        "omniglot-mamlpp": 5,
    }
    assert listed[0]["name"] == "omniglot-protomaml"
    assert len(taught(client, "runs/mine.fewstep-learner")["steps"]) == 1


@pytest.mark.parametrize(
    "name", ["nothing", "runs/../mine", "runs/linked.fewstep-learner", "runs/untrained", "/etc/passwd"]
)
def test_what_is_no_choice_is_not_there(client: TestClient, name: str) -> None:
    symbols = {shape: [sent(picture(strokes))] for shape, strokes in SHAPES.items()}
    answer = client.post("/api/teach/lessons", json={"learner": name, "symbols": symbols})
    assert (answer.status_code, name in answer.json()["detail"]) == (404, True)


def test_a_head_of_fixed_width_takes_so_many_symbols_and_names_the_number_to_others(client: TestClient) -> None:
    """A run of strokes for five; its step 0 is a head that knows nothing of these symbols."""
    drawn = [sent(picture([(20 + 9 * i, 20, 85, 85 - 9 * i)])) for i in range(5)]
    lesson = taught(client, "runs/five", **{f"symbol {i}": [drawing] for i, drawing in enumerate(drawn)})
    assert lesson["steps"][0]["accuracy"] < lesson["steps"][-1]["accuracy"]
    symbols = {f"symbol {i}": [drawing] for i, drawing in enumerate(drawn[:4])}
    answer = client.post("/api/teach/lessons", json={"learner": "runs/five", "symbols": symbols})
    assert (answer.status_code, "tells 5 symbols apart" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("drawing", "said"),
    [
        ("no base64!", "base64"),
        (base64.b64encode(b"no image").decode(), "none of"),
        (sent(Image.new("L", (2000, 1000))), "2000×1000"),
        (sent(picture(SHAPES["cross"]))[:100], "does not decode"),
        ("", "at least 1 character"),
    ],
    ids=["base64", "image", "size", "cut", "empty"],
)
def test_what_is_no_drawing_is_refused_in_a_sentence(client: TestClient, drawing: str, said: str) -> None:
    symbols = {"a": [sent(picture(SHAPES["bar"]))], "b": [drawing]}
    answer = client.post("/api/teach/lessons", json={"learner": "omniglot", "symbols": symbols})
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.json()


@pytest.mark.parametrize("count", [1, 21])
def test_fewer_than_two_and_more_than_twenty_symbols_are_refused(client: TestClient, count: int) -> None:
    drawing = sent(picture(SHAPES["bar"]))
    symbols = {f"symbol {i}": [drawing] for i in range(count)}
    answer = client.post("/api/teach/lessons", json={"learner": "omniglot", "symbols": symbols})
    assert answer.status_code == 422


def test_a_lesson_that_is_not_kept_is_to_be_taught_again(client: TestClient) -> None:
    answer = client.post(f"/api/teach/lessons/{'0' * 32}/guess", json={"drawing": sent(picture(SHAPES["bar"]))})
    assert (answer.status_code, "teach the symbols again" in answer.json()["detail"]) == (404, True)


def test_the_lesson_that_was_not_used_for_longest_is_forgotten() -> None:
    lessons = Lessons(most=2)
    lessons.keep("a", object.__new__(Lesson))
    lessons.keep("b", object.__new__(Lesson))
    lessons.find("a")
    lessons.keep("c", object.__new__(Lesson))
    assert [name for name in "abc" if lessons.find(name)] == ["a", "c"]


def test_examples_are_strokes_on_the_paper_by_several_hands(client: TestClient) -> None:
    characters = client.get("/api/teach/examples?alphabet=2&count=3").json()["characters"]
    assert (len(characters), len(characters[0])) == (3, 4)
    points = np.concatenate([stroke for drawn in characters for one in drawn for stroke in one])
    assert points.min() > 0
    assert points.max() < 1
    assert characters[0][0] != characters[0][1]


def test_of_many_steps_the_first_and_the_last_are_shown_and_even_ones_between() -> None:
    assert shown_steps(3, 8) == [0, 1, 2, 3]
    assert shown_steps(0, 8) == [0]
    assert shown_steps(50, 6) == [0, 10, 20, 30, 40, 50]


@pytest.mark.omniglot
def test_characters_of_omniglot_sent_as_files_are_named_about_as_often_as_recorded(
    client: TestClient, real_data: Path
) -> None:
    """Recorded: 98.4 %; of 50 drawings in 5 tasks at least 46 are to be right (chance of fewer: 0.2 %)."""
    archive = zipfile.ZipFile(real_data / "omniglot" / "images_evaluation.zip")
    files = sorted(file for file in archive.namelist() if file.endswith(".png"))
    test = [list(drawn) for _, drawn in itertools.groupby(files, lambda file: file.rsplit("/", 1)[0])][-423:]
    rng, right = np.random.default_rng(0), 0
    for _ in range(5):
        chosen = [rng.choice(test[i], 3, replace=False) for i in rng.choice(423, 5, replace=False)]
        images = [[base64.b64encode(archive.read(file)).decode() for file in of_one] for of_one in chosen]
        lesson = taught(client, **{str(i): of_one[:1] for i, of_one in enumerate(images)})
        right += sum(named(client, lesson, one) == str(i) for i, of_one in enumerate(images) for one in of_one[1:])
    assert right >= 46
