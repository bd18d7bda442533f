import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fewstep.tasks.images import ImageFolder, Images

MODES = {"1": "png", "L": "png", "RGB": "png", "RGBA": "png", "P": "png", "CMYK": "jpg"}


def draw(path: Path, *, value: int = 128, size: tuple[int, int] = (9, 7), mode: str = "RGB") -> Path:
    """An even picture of grey `value`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).convert(mode).save(path)
    return path


def folder_of(root: Path, classes: int, images: int = 3, first: int = 0, **fields: Any) -> Path:
    for c in range(first, first + classes):
        for m in range(images):
            draw(root / f"class{c:02d}" / f"{m}.png", value=10 * c + m, **fields)
    return root


def names(images: Images) -> tuple[list[str], list[str], list[str]]:
    train, val, test = ([c.name for c in split] for split in (images.train, images.val, images.test))
    return train, val, test


def test_split_folders_are_the_splits(tmp_path):
    for split, classes in (("train", 4), ("val", 2), ("test", 3)):
        folder_of(tmp_path / split, classes)
    images = Images.from_folder(tmp_path)
    assert [len(split) for split in names(images)] == [4, 2, 3]
    assert images.pixels.shape == (27, 3, 28, 28)
    assert images.pixels.dtype == np.uint8


def test_split_folders_without_val_leave_it_empty(tmp_path):
    folder_of(tmp_path / "train", 3)
    folder_of(tmp_path / "test", 3, first=3)
    assert Images.from_folder(tmp_path).tasks(ways=2, shots=1, queries=2).val is None


def test_class_folders_alone_are_split_by_the_seed_into_the_shares_held_out(tmp_path):
    folder_of(tmp_path, 20)
    first, again, other = (Images.from_folder(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert [len(split) for split in names(first)] == [12, 3, 5]  # 15 % and 25 % of 20
    assert sorted(name for split in names(first) for name in split) == [f"class{c:02d}" for c in range(20)]
    assert names(first) == names(again)
    assert names(first) != names(other)
    assert [len(split) for split in names(Images.from_folder(tmp_path, held_out=(0.0, 0.5)))] == [10, 0, 10]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_decodes_to_its_grey(mode, tmp_path):
    value = {"1": 255, "P": 153}.get(mode, 128)  # what 1 bit and Pillow's palette of multiples of 51 can say
    folder_of(tmp_path / "test", 2)
    draw(tmp_path / "train" / "A" / f"picture.{MODES[mode]}", value=value, mode=mode)
    grey, color = (Images.from_folder(tmp_path, color=color) for color in ("L", "RGB"))
    assert grey.pixels.shape[1:] == (1, 28, 28)
    assert color.pixels.shape[1:] == (3, 28, 28)
    for images in (grey, color):
        picture = images.pixels[images.train[0].start].astype(int)
        assert abs(picture - value).max() <= 3  # JPEG is not exact


def test_one_bit_drawings_are_resampled_to_greys(tmp_path):
    folder_of(tmp_path / "test", 2)
    strokes = np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((13, 13), np.uint8))
    (tmp_path / "train" / "A").mkdir(parents=True)
    Image.fromarray(strokes).convert("1").save(tmp_path / "train" / "A" / "0.png")
    images = Images.from_folder(tmp_path, color="L")
    assert len(np.unique(images.pixels[images.train[0].start])) > 10


def test_colours_stay_in_their_channels(tmp_path):
    folder_of(tmp_path / "test", 2)
    (tmp_path / "train" / "A").mkdir(parents=True)
    Image.new("RGB", (30, 30), (250, 120, 10)).save(tmp_path / "train" / "A" / "0.png")
    images = Images.from_folder(tmp_path, size=16)
    picture = images.pixels[images.train[0].start]
    assert picture.shape == (3, 16, 16)
    assert [np.unique(channel).tolist() for channel in picture] == [[250], [120], [10]]


def test_images_of_any_size_are_resized(tmp_path):
    folder_of(tmp_path / "test", 2)
    for m, size in enumerate([(1, 1), (300, 2), (28, 28), (5, 400)]):
        draw(tmp_path / "train" / "A" / f"{m}.png", size=size)
    images = Images.from_folder(tmp_path, size=20)
    assert images.pixels.shape[1:] == (3, 20, 20)
    assert images.train[0].size == 4


def test_class_folders_may_be_of_different_sizes_and_hold_other_files(tmp_path):
    folder_of(tmp_path / "test", 3, images=2)
    for name, count in (("A", 2), ("B", 11), ("C", 5)):
        for m in range(count):
            draw(tmp_path / "train" / name / f"{m}.JPG")
    (tmp_path / "train" / "A" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "no images").mkdir()
    images = Images.from_folder(tmp_path)
    assert [(c.name, c.size) for c in images.train] == [("A", 2), ("B", 11), ("C", 5)]
    assert images.tasks(ways=3, shots=1, queries=1).train.sample(0, "train", 0, 4).support.x.shape == (4, 3, 3, 28, 28)


def test_an_image_is_found_in_the_class_of_its_folder(tmp_path):
    folder_of(tmp_path / "train", 5)
    folder_of(tmp_path / "test", 5)
    images = Images.from_folder(tmp_path, color="L")
    for c in images.train:
        greys = images.pixels[c.start : c.start + c.size, 0, 0, 0].tolist()
        assert greys == [10 * int(c.name[-2:]) + m for m in range(3)]


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "truncated"])
def test_a_file_that_does_not_decode_is_named(content, tmp_path):
    folder_of(tmp_path / "train", 3)
    folder_of(tmp_path / "test", 3, first=3)
    bad = draw(tmp_path / "train" / "class01" / "bad.png", size=(60, 60))
    bad.write_bytes(bad.read_bytes()[:60] if content is None else content)
    with pytest.raises(ValueError, match=r"class01/bad\.png does not decode as an image .*; repair or remove"):
        Images.from_folder(tmp_path).tasks(ways=3, shots=1, queries=2)


@pytest.mark.parametrize("classes", [0, 1])
def test_too_few_class_folders_are_an_error_that_shows_what_is_expected(classes, tmp_path):
    folder_of(tmp_path / "birds", classes)
    with pytest.raises(ValueError, match=r"birds has too few class folders with images: expected .*CLASS/IMAGE"):
        Images.from_folder(tmp_path / "birds")


def test_a_folder_that_does_not_exist_is_an_error_with_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"; there is no folder {tmp_path}/nowhere"):
        Images.from_folder("nowhere")


def test_more_ways_than_test_classes_is_an_error_and_a_val_split_too_small_is_none(tmp_path):
    folder_of(tmp_path, 20)
    images = Images.from_folder(tmp_path)
    assert images.tasks(ways=5, shots=1, queries=2).val is None  # three classes
    assert images.tasks(ways=3, shots=1, queries=2).val is not None
    with pytest.raises(ValueError, match="ways=6 but split 'test' has 5 classes"):
        images.tasks(ways=6, shots=1, queries=2)


def test_too_few_images_in_a_class_is_an_error_that_names_it(tmp_path):
    folder_of(tmp_path, 20, images=6)
    (tmp_path / "class07" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"class 'class07' .*has 5 images, needs 6 \(1 shot \+ 5 queries\)"):
        Images.from_folder(tmp_path).tasks(ways=5, shots=1, queries=5)


def test_tasks_draw_from_the_classes_of_their_split(tmp_path):
    folder_of(tmp_path, 20)
    images = Images.from_folder(tmp_path, color="L")
    splits = images.tasks(ways=3, shots=1, queries=2)
    for tasks, expected in zip(splits[:3], names(images), strict=True):
        task = tasks.sample(0, tasks.split, 0, 50)
        greys = (255 * task.support.x[:, :, 0, 0, 0]).round().long()
        assert {f"class{grey // 10:02d}" for grey in greys.flatten().tolist()} == set(expected)
        assert task.query.x.shape == (50, 6, 1, 28, 28)


def test_the_hash_changes_with_the_classes(tmp_path):
    folder_of(tmp_path, 20)
    first, other = (Images.from_folder(tmp_path, seed=seed).tasks(ways=2, shots=1, queries=1) for seed in (0, 1))
    assert first.summary["classes"] == {"train": 12, "val": 3, "test": 5}
    assert first.summary["hash"] != other.summary["hash"]


def test_the_recipe_field_builds_the_same_tasks(tmp_path):
    folder_of(tmp_path, 20)
    spec = ImageFolder(folder=str(tmp_path), ways=3, shots=1, queries=2, size=16, color="L").build(Path("unused"))
    direct = Images.from_folder(tmp_path, size=16, color="L").tasks(ways=3, shots=1, queries=2)
    assert spec.summary == direct.summary
    assert torch.equal(spec.test.sample(0, "t", 0, 2).query.x, direct.test.sample(0, "t", 0, 2).query.x)


def test_a_16_bit_picture_keeps_its_greys(tmp_path):
    folder_of(tmp_path / "test", 2)
    (tmp_path / "train" / "A").mkdir(parents=True)
    ramp = np.linspace(0, 65535, 28).round().astype(np.uint16)
    Image.fromarray(np.tile(ramp, (28, 1))).save(tmp_path / "train" / "A" / "0.png")
    images = Images.from_folder(tmp_path, color="L")
    picture = images.pixels[images.train[0].start, 0].astype(int)
    assert abs(picture - np.linspace(0, 255, 28)).max() <= 2


def test_ink_on_a_transparent_ground_shows_on_white(tmp_path):
    folder_of(tmp_path / "test", 2)
    (tmp_path / "train" / "A").mkdir(parents=True)
    drawing = np.zeros((28, 28, 4), np.uint8)  # black everywhere, under a mask that shows four rows of it
    drawing[12:16, :, 3] = 255
    Image.fromarray(drawing).save(tmp_path / "train" / "A" / "0.png")
    images = Images.from_folder(tmp_path, color="L")
    picture = images.pixels[images.train[0].start, 0]
    assert picture[13:15].max() == 0
    assert picture[:8].min() == 255


def test_everything_that_is_wrong_with_a_folder_is_named_at_once_and_counted(tmp_path):
    folder_of(tmp_path / "train", 3, images=4)
    folder_of(tmp_path / "test", 2, first=2)
    for number in (0, 1):
        (tmp_path / "train" / "class00" / f"{number}.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match="the data have 7 problems") as error:
        Images.from_folder(tmp_path).tasks(ways=3, shots=1, queries=3)
    for said in (
        r"- \S*class00/0\.png does not decode as an image",
        r"- \S*class00/1\.png does not decode as an image",
        r"- class 'class00' of split 'train' has 2 images, needs 4 \(1 shot \+ 3 queries\)",
        r"- class 'class02' of split 'test' has 3 images, needs 4",
        r"- class 'class03' of split 'test' has 3 images, needs 4",
        r"- ways=3 but split 'test' has 2 classes",
        r"- class 'class02' is in train \(4\) and in test \(3\)",
    ):
        assert len(re.findall(said, str(error.value))) == 1, said


def test_images_that_are_in_two_splits_are_noted(tmp_path):
    folder_of(tmp_path / "train", 3)
    folder_of(tmp_path / "test", 3, first=3)
    assert Images.from_folder(tmp_path).tasks(ways=3, shots=1, queries=2).told() == ()
    shutil.copy(tmp_path / "train" / "class01" / "2.png", tmp_path / "test" / "class04" / "copy.png")
    notes = Images.from_folder(tmp_path).tasks(ways=3, shots=1, queries=2).told()
    assert notes == ("1 image of split 'train' is also in split 'test', of class 'class01' for one",)


def test_a_val_split_that_is_too_small_is_noted(tmp_path):
    folder_of(tmp_path, 20)
    assert Images.from_folder(tmp_path).tasks(ways=5, shots=1, queries=2).told() == (
        "no validation: split 'val' has 3 classes, ways=5",
    )


def test_a_file_that_changes_is_read_again(tmp_path):
    folder_of(tmp_path / "test", 2, first=2)
    picture = draw(tmp_path / "train" / "A" / "0.png", value=10)
    first = Images.from_folder(tmp_path, color="L").pixels.copy()
    draw(picture, value=200, size=(40, 40))
    second = Images.from_folder(tmp_path, color="L").pixels
    assert (first[0, 0, 0, 0], second[0, 0, 0, 0]) == (10, 200)


def test_the_hash_of_a_folder_is_that_of_runs_written_by_version_0_1(tmp_path):
    for c in range(8):
        for m in range(2 + c % 3):
            draw(tmp_path / f"class{c:02d}" / f"{m}.png")
    assert Images.from_folder(tmp_path).tasks(ways=2, shots=1, queries=1).summary["hash"] == "a5e60442bb30578c"
