"""The example of letters in fonts: what is drawn, what is left out, and its story from a folder to a prediction."""

import csv
import json
import re
import runpy
import shutil
import statistics
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from fewstep.cli import main

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "fonts"
README = (FOLDER / "README.md").read_text()
RENDER = runpy.run_path(str(FOLDER / "render.py"))
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
"""DejaVu and STIX, which come with matplotlib."""


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """What `render.py` makes of DejaVu, one file of it twice, to train in, and of STIX to test in."""
    root = tmp_path_factory.mktemp("fonts")
    for folder, family in (("fonts", "DejaVuS*"), ("held-out", "STIXGeneral*")):
        (root / folder).mkdir()
        for file in FONTS.glob(f"{family}.ttf"):
            shutil.copy(file, root / folder)
    shutil.copy(FONTS / "DejaVuSans.ttf", root / "fonts" / "Copy.ttf")
    folders = ["--fonts", root / "fonts", "--held-out", root / "held-out"]
    run("render.py", root / "letters", *folders, "--fewest", "2")
    return root / "letters"


def run(name: str, *words: str | Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(FOLDER / name), run_name="__main__")


def fonts_by_character(letters: Path, split: str) -> dict[str, set[str]]:
    return {folder.name: {file.stem for file in folder.iterdir()} for folder in (letters / split).iterdir()}


def test_a_character_that_a_font_does_not_have_is_not_drawn_as_a_box():
    drawn = {name: RENDER["draw"](FONTS / f"{name}.ttf", "Aאა") for name in ("DejaVuSans", "DejaVuSansMono", "cmr10")}
    assert {name: "".join(pictures) for name, pictures in drawn.items()} == {
        "DejaVuSans": "Aאა",
        "DejaVuSansMono": "Aა",
        "cmr10": "A",
    }


def test_what_is_drawn_fills_the_frame_in_the_middle():
    for picture in RENDER["draw"](FONTS / "DejaVuSans.ttf", "lmO~").values():
        rows, columns = (np.flatnonzero(picture.any(axis)) for axis in (1, 0))
        assert max(len(rows), len(columns)) == 24
        for there in (rows, columns):
            assert abs(there[0] - (27 - there[-1])) <= 1


def test_letters_that_look_alike_are_one_class_and_in_one_split(letters):
    names = [name for split in ("train", "val", "test") for name in fonts_by_character(letters, split)]
    assert len(names) == len(set(names))
    shapes = {
        "latin-capital-letter-a": ("greek-capital-letter-alpha", "cyrillic-capital-letter-a"),
        "latin-capital-letter-o": ("latin-small-letter-o", "cyrillic-small-letter-o", "degree-sign"),
        "latin-capital-letter-x": ("latin-small-letter-x", "greek-small-letter-chi"),
    }
    for first, others in shapes.items():
        assert first in fonts_by_character(letters, "train")
        assert not set(others[:2]) & set(names)


def test_a_font_that_is_there_twice_is_drawn_once_and_none_is_in_training_and_test(letters):
    train, test = (set().union(*fonts_by_character(letters, split).values()) for split in ("train", "test"))
    assert len({"Copy", "DejaVuSans"} & train) == 1
    assert all(name.startswith("STIX") for name in test)
    assert not train & test


def test_the_packages_to_install_are_those_that_are_drawn():
    installed = re.search(r"^sudo apt-get install -y (.*)$", README, re.M)
    assert installed is not None
    assert installed[1].split() == [*RENDER["PACKAGES"].split(), *RENDER["HELD_OUT"].split()]


def test_a_net_trained_on_letters_is_adapted_to_signs_and_what_it_predicts_is_drawn(
    letters, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    signs = ["ampersand", "euro-sign", "percent-sign"]
    for sign in signs:
        (tmp_path / "signs" / sign).mkdir(parents=True)
        shutil.copy(letters / "test" / sign / "STIXGeneral.png", tmp_path / "signs" / sign)
    small = ["--updates", "2", "--threads", "1", "--chunk", "1", "--net.filters", "4", "--evaluation.tasks", "2"]
    few = ["--tasks.queries", "1", "--tasks.color", "L", "--training.validation-tasks", "2"]
    train = ["train", "omniglot-5w1s-protonet", "--tasks.folder", str(letters), *few, *small, "--out", "run"]
    assert main(train) == 0
    assert main(["evaluate", "run", "--ways", "7", "--tasks", "3"]) == 0
    assert "3 tasks × 7 queries" in capsys.readouterr().out
    assert main(["adapt", "run", "--support", "signs", "--out", "signs.fewstep"]) == 0
    asked = [letters / "test" / sign / "STIXGeneralBol.png" for sign in [*signs, "number-sign"]]
    assert main(["predict", "signs.fewstep", *map(str, asked), "--csv", "predictions.csv"]) == 0
    table = (tmp_path / "predictions.csv").read_text().splitlines()
    assert table[0] == f"image,class,novelty,{','.join(signs)}"
    assert [row.split(",")[0] for row in table[1:]] == [str(path) for path in asked]
    run("contact_sheet.py", "signs", "predictions.csv", "sheet.png")
    assert len(np.unique(np.asarray(Image.open("sheet.png")))) > 10


def test_the_readme_states_what_was_recorded():
    record = ROOT / "results" / "fonts" / "letters"
    for name, signs in (("result", "5 signs, one"), ("evaluated-5w5s", "5 signs, five")):
        line = json.loads((record / f"{name}.json").read_text())["line"]
        assert f"| {signs} example{'s' if 'five' in signs else ''} each | {line.partition(' (')[0]} |" in README
    for name, signs in (("evaluated-20w1s", "20 signs, one example"), ("evaluated-20w5s", "20 signs, five examples")):
        line = json.loads((record / f"{name}.json").read_text())["line"]
        assert f"| {signs} each | {line.partition(' (')[0]} |" in README
    result = json.loads((record / "result.json").read_text())
    assert f"{result['line']}." in (ROOT / "results" / "README.md").read_text()
    assert result["versions"]["commit"] in (ROOT / "results" / "README.md").read_text()
    assert f"Of {result['updates']} updates, number {result['selected_update']} had the best validation" in README
    with (record / "predictions.csv").open(newline="") as file:
        rows = [(row["class"], Path(row["image"]).parent.name, float(row["novelty"])) for row in csv.DictReader(file)]
    known, unknown = ([row for row in rows if (row[1] == "number-sign") == is_new] for is_new in (False, True))
    assert f"{sum(found == sign for found, sign, _ in known)} of {len(known)} are right" in README
    medians = [statistics.median(row[2] for row in part) for part in (unknown, known)]
    assert f"by {medians[0]:.2f} in the median, the others by {medians[1]:.2f}" in " ".join(README.split())
