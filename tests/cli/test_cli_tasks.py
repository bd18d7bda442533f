"""`--tasks.folder` and the fields of tasks on the command line, and what is said of a folder that is not ready."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from fewstep.cli import main


class Told(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def train(capsys, tmp_path):
    """`fewstep train WORDS` into a folder of the test's own; the exit code and what it wrote."""

    def run(*words: object) -> Told:
        code = main(["train", *map(str, words), "--out", str(tmp_path / "run")])
        return Told(code, *capsys.readouterr())

    return run


def pictures(root: Path, classes: int, images: int, first: int = 0) -> Path:
    rng = np.random.default_rng(first)
    for c in range(first, first + classes):
        (root / f"bird{c:02d}").mkdir(parents=True)
        for m in range(images):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / f"bird{c:02d}" / f"{m}.png")
    return root


@pytest.fixture
def birds(tmp_path) -> Path:
    return pictures(tmp_path / "birds", classes=20, images=6)


def test_a_field_of_tasks_is_that_of_train_and_test_tasks_unless_one_of_them_is_given_its_own(train, birds):
    words = ["--test-tasks.queries", 3, "--tasks.folder", birds, "--tasks.ways", 4, "--tasks.size=16"]
    told = train(*words, "--tasks.queries", 2, "--tasks.shots", 2, "--tasks.color", "L", "--dry-run")
    assert told.code == 0, told.err
    recipe = json.loads(told.out)["recipe"]
    both = {"kind": "ImageFolder", "folder": str(birds), "ways": 4, "shots": 2, "size": 16, "color": "L"}
    assert recipe["train_tasks"] == {**both, "queries": 2}
    assert recipe["test_tasks"] == {**both, "queries": 3}


def test_a_field_of_tasks_works_for_every_kind_of_tasks(train):
    told = train("sinusoid-10s-maml", "--tasks.phase", "0", "6", "--tasks.shots", "7", "--dry-run")
    assert told.code == 0, told.err
    recipe = json.loads(told.out)["recipe"]
    assert recipe["train_tasks"] == recipe["test_tasks"]
    assert (recipe["train_tasks"]["phase"], recipe["train_tasks"]["shots"]) == ([0.0, 6.0], 7)


def test_a_switch_of_tasks_may_be_turned_off_for_both(train):
    few = [
        word for split in ("train", "val", "test") for word in (f"--tasks.{split}-alphabets", 2 - (split != "train"))
    ]
    told = train("strokes-5w1s-maml", *few, "--tasks.rotations", "--tasks.no-rotations", "--dry-run")
    assert told.code == 0, told.err
    assert json.loads(told.out)["recipe"]["test_tasks"]["rotations"] is False


def test_a_field_that_tasks_do_not_have_is_an_error_with_the_nearest(train):
    told = train("--tasks.way", 3)
    assert told.code == 1
    assert "--tasks.way: train and test tasks have no such field" in told.err
    assert "did you mean '--tasks.ways'?" in told.err


def test_everything_that_is_wrong_with_a_folder_is_said_before_anything_is_written(train, tmp_path):
    pictures(tmp_path / "birds" / "train", classes=6, images=6)
    pictures(tmp_path / "birds" / "test", classes=5, images=3, first=5)
    broken = tmp_path / "birds" / "train" / "bird01" / "0.png"
    broken.write_text("<html>")
    told = train("--tasks.folder", tmp_path / "birds")
    assert told.code == 1
    assert "the data have 8 problems" in told.err
    assert f"- {broken} does not decode as an image" in told.err
    assert "- class 'bird01' of split 'train' has 5 images, needs 6 (1 shot + 5 queries)" in told.err
    assert told.err.count("has 3 images, needs 6") == 5
    assert "- class 'bird05' is in train (6) and in test (3)" in told.err
    assert not (tmp_path / "run").exists()


def test_augmentation_is_a_field_of_the_recipe_and_is_named_in_the_plan(train, birds):
    words = ["--tasks.folder", birds, "--tasks.size", 16, "--augmentation.rotations", "--augmentation.crop", 2]
    told = train(*words, "--dry-run")
    assert told.code == 0, told.err
    plan = json.loads(told.out)
    done = {"rotations": True, "crop": 2, "flip": False, "noise": 0.0}
    assert plan["recipe"]["augmentation"] == {"kind": "Augmentation", **done}
    assert plan["data"]["train"]["augmentation"] == done
    assert "augmentation" not in plan["data"]["test"]
    assert plan["notes"] == ["no validation: split 'val' has 3 classes, ways=5"]


def test_classes_too_few_to_validate_the_training_ways_are_no_news_where_the_test_tasks_validate(train, birds):
    words = ["omniglot-5w1s-protonet", "--tasks.folder", birds, "--tasks.size", 16]
    told = train(*words, "--train-tasks.ways", 5, "--test-tasks.ways", 3, "--dry-run")
    assert told.code == 0, told.err
    assert "notes" not in json.loads(told.out)


def test_augmentation_of_what_has_no_images_is_refused(train):
    told = train("sinusoid-10s-maml", "--augmentation.flip")
    assert told.code == 1
    assert "augmentation.flip needs images (channels, height, width)" in told.err


def test_a_folder_is_trained_on_with_augmentation_and_tested_again_alike(train, birds, tmp_path, capsys):
    words = ["--tasks.folder", birds, "--tasks.size", 16, "--augmentation.crop", 1, "--net.filters", 4]
    few = ["--training.meta-batch", 2, "--evaluation.tasks", 2, "--updates", 2, "--threads", 1, "--chunk", 1]
    told = train(*words, *few)
    assert told.code == 0, told.err
    assert "note: no validation: split 'val' has 3 classes, ways=5" in told.err
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == told.out.splitlines()[0]
