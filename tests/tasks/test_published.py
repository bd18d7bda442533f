"""Published colour data sets from small archives in the forms in which the real ones circulate."""

import dataclasses
import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fewstep.tasks import published
from fewstep.tasks.published import DATA_SETS, Published, PublishedName, import_files, load, verify
from published_builders import (
    CLASSES,
    COUNTS,
    EACH,
    IMAGES,
    SIZE,
    as_python_2,
    cache_files,
    cifar_files,
    cub_classes,
    cub_files,
    encoded,
    expected,
    image,
    labelled_files,
    ravi_images,
    ravi_lists,
    tarred,
    tiered_arrays,
    tiered_labels,
    tiered_pngs,
    write,
    zipped,
)
from run_builders import small_disk

SPLIT_PICKLES = {
    f"miniImageNet_category_split_{split}.pickle": data
    for split, data in zip(("train_phase_train", "val", "test"), labelled_files("{}").values(), strict=True)
}
NAMED = labelled_files("CIFAR_FS_{}.pickle", catname2label=lambda split: {n: i for i, n in enumerate(CLASSES[split])})
RED_FIRST = {
    **tiered_arrays(),
    **{
        f"{split}_labels.pkl": pickle.dumps({"labels": pickle.loads(data)["labels"]})
        for split, data in labelled_files("{}").items()
    },
}
NO_NAMES = {split: [f"{split}/{i:03d}" for i in range(len(names))] for split, names in CLASSES.items()}
BOTH = {split: [f"{split}/{i:03d} {name}" for i, name in enumerate(names)] for split, names in CLASSES.items()}
BIRDS = {split: [f"{n:03d}.{name}" for n, (s, name) in cub_classes().items() if s == split] for split in CLASSES}

FORMS: dict[str, tuple[PublishedName, dict[str, bytes], dict[str, list[str]]]] = {
    "mini, cache": ("mini-imagenet", cache_files(), CLASSES),
    "mini, cache of Python 2": ("mini-imagenet", cache_files(as_python_2), CLASSES),
    "mini, cache in a zip": ("mini-imagenet", {"mini.zip": zipped(cache_files())}, CLASSES),
    "mini, category split": ("mini-imagenet", SPLIT_PICKLES, NO_NAMES),
    "mini, lists and images": ("mini-imagenet", {**ravi_lists(), **ravi_images()}, CLASSES),
    "mini, lists and a tar": ("mini-imagenet", {**ravi_lists(), "images.tar": tarred(ravi_images())}, CLASSES),
    "mini, lists and a zip": ("mini-imagenet", {**ravi_lists(), "images.zip": zipped(ravi_images())}, CLASSES),
    "mini, all in a zip": ("mini-imagenet", {"m.zip": zipped({**ravi_lists(), **ravi_images()})}, CLASSES),
    "tiered, png": ("tiered-imagenet", {**tiered_labels(), **tiered_pngs()}, BOTH),
    "tiered, png of Python 2": ("tiered-imagenet", {**tiered_labels(as_python_2), **tiered_pngs(as_python_2)}, BOTH),
    "tiered, png in a tar": ("tiered-imagenet", {"t.tar": tarred({**tiered_labels(), **tiered_pngs()})}, BOTH),
    "tiered, blue first": ("tiered-imagenet", {**tiered_labels(), **tiered_arrays(slice(None, None, -1))}, BOTH),
    "tiered, red first": ("tiered-imagenet", RED_FIRST, NO_NAMES),
    "tiered, red first in a tgz": ("tiered-imagenet", {"t.tgz": tarred(RED_FIRST, "w:gz")}, NO_NAMES),
    "cifar-fs, zip": ("cifar-fs", {"cifar100.zip": zipped(cifar_files())}, CLASSES),
    "cifar-fs, unpacked": ("cifar-fs", cifar_files(), CLASSES),
    "cifar-fs, pickles": ("cifar-fs", labelled_files("CIFAR_FS_{}.pickle"), NO_NAMES),
    "cifar-fs, pickles with names": ("cifar-fs", NAMED, CLASSES),
    "fc100, pickles of Python 2": ("fc100", labelled_files("FC100_{}.pickle", as_python_2), NO_NAMES),
    "cub": ("cub", {"CUB_200_2011.tgz": tarred(cub_files(), "w:gz")}, BIRDS),
    "cub, unpacked": ("cub", cub_files(), BIRDS),
}
"""The data set, the files, and the names that its classes get; the images are always those of `expected`."""
TAR = tarred(ravi_images())
JPEGS = [form for form in FORMS if form.startswith(("mini, lists", "mini, all", "cub"))]
"""Whose colours are not kept to the last bit."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every data set with the numbers of the builders'."""
    for name, data_set in DATA_SETS.items():
        images = (sum(IMAGES),) if len(data_set.images) == 1 else IMAGES
        monkeypatch.setitem(DATA_SETS, name, dataclasses.replace(data_set, size=SIZE, classes=COUNTS, images=images))


def place(files: dict[str, bytes], folder: Path) -> Path:
    """The folder with the files, or the only file."""
    write(folder, files)
    return folder / next(iter(files)) if len(files) == 1 else folder


def refused(name: PublishedName, files: dict[str, bytes], tmp_path: Path) -> str:
    """The error of an import that must leave nothing behind."""
    with pytest.raises(ValueError, match=r".") as caught:
        import_files(name, place(files, tmp_path / "given"), tmp_path / "root")
    assert not (tmp_path / "root").exists() or list((tmp_path / "root").iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_to_the_same_images_class_by_class(form: str, tmp_path: Path):
    name, files, classes = FORMS[form]
    seen: list[int] = []
    folder = import_files(name, place(files, tmp_path / "given"), tmp_path / "root", seen.append)
    assert folder == tmp_path / "root" / name
    assert sum(seen) == sum(IMAGES)
    stored = load(name, tmp_path / "root")
    assert stored.classes == {split: [(one, EACH) for one in names] for split, names in classes.items()}
    for split in CLASSES:
        assert isinstance(stored.images[split], np.memmap)
        difference = np.abs(stored.images[split].astype(int) - expected(split))
        assert difference.max() <= (2 if form in JPEGS else 0)
    assert [report.problem for report in verify(name, tmp_path / "root")] == [None] * 3
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == [name]


PUBLISHED = dict(DATA_SETS)
"""As they are before a test makes them small."""


def test_numbers_are_those_published():
    """tiered-ImageNet: 779165 images of 608 classes (arXiv:1803.00676, section 4.1); CUB: 11788 of 200."""
    real = {name: (sum(one.classes), sum(one.images), one.size) for name, one in PUBLISHED.items()}
    assert real == {
        "mini-imagenet": (100, 60000, 84),
        "tiered-imagenet": (608, 779165, 84),
        "cifar-fs": (100, 60000, 32),
        "fc100": (100, 60000, 32),
        "cub": (200, 11788, 84),
    }
    assert [PUBLISHED[name].classes for name in PUBLISHED] == [
        (64, 16, 20),
        (351, 97, 160),
        (64, 16, 20),
        (60, 20, 20),
        (100, 50, 50),
    ]
    assert PUBLISHED["tiered-imagenet"].images == (448695, 124261, 206209)


def test_tasks_are_of_the_imported_images(tmp_path: Path):
    import_files("fc100", place(labelled_files("FC100_{}.pickle"), tmp_path / "given"), tmp_path)
    splits = Published(name="fc100", ways=2, shots=1, queries=2).build(tmp_path)
    task = splits.test.sample(0, "test", 0, 1).select(0)
    assert splits.train.inputs == (3, SIZE, SIZE)
    assert task.query.x.shape == (4, 3, SIZE, SIZE)
    reds = (task.query.x[:, 0, 0, 0] * 255).round().int().tolist()
    first = {80 * 2 + 20 * label for label in (0, 1)}  # of classes bee and cow; five more for each further example
    assert {red - red % 20 for red in reds} == first
    assert splits.summary["classes"] == dict(zip(CLASSES, COUNTS, strict=True))
    assert splits.preprocessing is not None
    assert splits.preprocessing.inputs == splits.train.inputs


def test_what_was_not_imported_is_an_error_that_says_what_to_download_and_how_it_comes_in(tmp_path: Path):
    said = rf"mini-imagenet is not in {tmp_path}: download mini-imagenet-cache-.*fewstep data import mini-imagenet PATH"
    with pytest.raises(ValueError, match=said):
        Published(name="mini-imagenet").build(tmp_path)


def test_a_name_that_does_not_exist_is_an_error_with_those_that_do(tmp_path: Path):
    with pytest.raises(ValueError, match="name='imagenet': expected one of mini-imagenet, tiered-imagenet"):
        Published(name="imagenet").build(tmp_path)


def test_one_pickle_stands_for_those_beside_it(tmp_path: Path):
    write(tmp_path / "given", cache_files())
    import_files("mini-imagenet", tmp_path / "given" / "mini-imagenet-cache-val.pkl", tmp_path / "root")
    assert (tmp_path / "root" / "mini-imagenet" / "about.json").exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_bytes_may_be_written_as_text_by_old_protocols(protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Half of all bytes take two in UTF-8: 150 kB of noise become more than the images and the room beside them."""
    noise = np.random.default_rng(0).integers(256, size=(9, 74, 74, 3), dtype=np.uint8)
    files = {
        f"FC100_{split}.pickle": pickle.dumps(
            {"data": noise[: EACH * count], "labels": [i // EACH for i in range(EACH * count)]}, protocol
        )
        for split, count in zip(CLASSES, COUNTS, strict=True)
    }
    monkeypatch.setattr(published, "_ROOM_BYTES", 4096)
    monkeypatch.setitem(DATA_SETS, "fc100", dataclasses.replace(DATA_SETS["fc100"], size=74))
    assert protocol == 5 or len(files["FC100_train.pickle"]) > noise.nbytes + 4096
    import_files("fc100", place(files, tmp_path / "given"), tmp_path / "root")
    assert (np.moveaxis(load("fc100", tmp_path / "root").images["train"], 1, -1) == noise).all()


def test_what_is_imported_already_is_left_alone(tmp_path: Path):
    given = place(cache_files(), tmp_path / "given")
    import_files("mini-imagenet", given, tmp_path)
    with pytest.raises(ValueError, match="is there already; move it away to import mini-imagenet again"):
        import_files("mini-imagenet", given, tmp_path)


@pytest.mark.parametrize("name", DATA_SETS)
def test_files_of_no_known_form_are_an_error_with_those_that_are(name: PublishedName, tmp_path: Path):
    message = refused(name, {"readme.txt": b"", "one.zip": b""}, tmp_path)
    assert f"does not hold {name} in a form that is known: expected {DATA_SETS[name].forms}" in message


def with_changed(key: str, change: Callable[[Any], Any]) -> dict[str, bytes]:
    """The cache of mini-ImageNet with something else in its val pickle."""
    files = cache_files()
    value = pickle.loads(files["mini-imagenet-cache-val.pkl"])
    value[key] = change(value[key])
    return {**files, "mini-imagenet-cache-val.pkl": pickle.dumps(value)}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (with_changed("image_data", lambda x: x.astype(np.float32)), "has images float32"),
        (with_changed("image_data", lambda x: x[:, :5]), r"expected uint8 \[N, 6, 6, 3\]"),
        (with_changed("image_data", lambda x: x.tolist()), "has images a list"),
        (with_changed("class_dict", lambda x: {**x, "owl": x["owl"][1:]}), "1 of 6 images are in no class"),
        (with_changed("class_dict", lambda x: {**x, "owl": [*x["owl"], 6]}), "example 6 of class owl is missing"),
        (with_changed("class_dict", lambda x: {**x, "owl": [*x["owl"], x["yak"][0]]}), "or comes twice"),
        (with_changed("class_dict", lambda x: {"fox": x["owl"], "yak": x["yak"]}), "class fox is in two splits"),
        (with_changed("class_dict", lambda x: {"owl": x["owl"] + x["yak"]}), "3 / 1 / 2 classes.*expected 3 / 2 / 2"),
        ({**cache_files(), "mini-imagenet-cache-test.pkl": b"\x80\x04}."}, r"holds \[\], expected a dictionary with"),
        ({**cache_files(), "mini-imagenet-cache-test.pkl": b"cos\nsystem\n."}, r"test\.pkl asks for os\.system"),
        ({**cache_files(), "mini-imagenet-cache-test.pkl": b"<html>"}, r"test\.pkl is damaged, or no pickle"),
        ({**ravi_lists(), **dict(list(ravi_images().items())[1:])}, "1 of 21 images that the lists name, ox0000"),
        ({**ravi_lists(), "train.csv": b"a,b\n1,2\n"}, r"has the columns \['a', 'b'\], expected filename and label"),
        ({**ravi_lists(), **ravi_images(), "images/ox00000000.jpg": b"GIF89a"}, "ox00000000.jpg does not decode as a"),
        ({**ravi_lists(), "images.tar": TAR[: TAR.index(b"images/yak") + 600]}, "images.tar.* download it again"),
        ({**ravi_lists(), "images.zip": zipped({**ravi_images(), "../x.jpg": b""})}, "leads out of the archive"),
    ],
)
def test_damaged_files_of_mini_imagenet_are_one_error_and_leave_nothing(
    files: dict[str, bytes], said: str, tmp_path: Path
):
    assert re.search(said, refused("mini-imagenet", files, tmp_path))


def npz(*shape: int, dtype: Any = np.uint8, name: str = "images") -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{name: np.zeros(shape, dtype)})
    return stream.getvalue()


def npy(*shape: int) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(shape, np.uint8))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (npz(6, 6, 6), r"has images uint8 \[6, 6, 6\]"),
        (npz(6, 6, 6, 3, dtype=float), "has images float64"),
        (npz(6, 6, 6, 3, name="other"), r"holds \['other.npy'\], expected an array 'images'"),
        (npz(5, 6, 6, 3), "val has 5 images and 6 labels"),
        (npz(7, 6, 6, 3), "val has 7 images and 6 labels"),
        (zipped({"images.npy": b"\x93NUMPX"}), "val_images.npz is damaged"),
        (zipped({"images.npy": npy(6, 6, 6, 3)[:-1]}), "val_images.npz ends after image 5 of 6"),
        (b"<html>", "val_images.npz is damaged"),
    ],
)
def test_damaged_arrays_of_tiered_imagenet_are_one_error_and_leave_nothing(array: bytes, said: str, tmp_path: Path):
    message = refused("tiered-imagenet", {**tiered_labels(), **tiered_arrays(), "val_images.npz": array}, tmp_path)
    assert re.search(said, message)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([b"not a png"] * 6, "val_images_png.pkl: image 0 does not decode"),
        ([encoded(image("val", "owl", 0))] * 5, "val has 5 images and 6 labels"),
        ([encoded(image("val", "owl", 0))] * 7, "val has 7 images and 6 labels"),
        ([None] * 6, "image 0 is a NoneType, expected an encoded image"),
        ({"images": []}, "holds a dict, expected a list of encoded images"),
    ],
)
def test_damaged_encoded_images_of_tiered_imagenet_are_one_error_and_leave_nothing(
    images: Any, said: str, tmp_path: Path
):
    files = {**tiered_labels(), **tiered_pngs(), "val_images_png.pkl": pickle.dumps(images)}
    assert said in refused("tiered-imagenet", files, tmp_path)


def test_labels_and_images_of_different_number_are_an_error(tmp_path: Path):
    files = labelled_files("FC100_{}.pickle")
    value = pickle.loads(files["FC100_val.pickle"])
    files["FC100_val.pickle"] = pickle.dumps({**value, "labels": value["labels"][1:]})
    assert "has 6 images and 5 labels, expected as many" in refused("fc100", files, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cifar100/splits/bertinetto/val.txt": b"owl\nyak\nemu"}, "lists emu, but there is no cifar100/data/emu/"),
        ({"cifar100/splits/bertinetto/val.txt": b"owl"}, "3 / 1 / 2 classes in train, val and test with 9 / 3 / 6"),
        ({"cifar100/data/owl/o_s_000001.png": b""}, "o_s_000001.png does not decode"),
        ({"cifar100/data/owl/o_s_000001.png": encoded(image("val", "owl", 1))[:40]}, "does not decode"),
        ({"cifar100/data/owl/more.png": encoded(image("val", "owl", 1))}, "expected 3 / 2 / 2 with 9 / 6 / 6"),
    ],
)
def test_damaged_files_of_cifar_fs_are_one_error_and_leave_nothing(change: dict[str, bytes], said: str, tmp_path: Path):
    assert said in refused("cifar-fs", {"cifar100.zip": zipped({**cifar_files(), **change})}, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"./CUB_200_2011/image_class_labels.txt": b"1 1\n2 1"}, "image 3 has no label"),
        ({"./CUB_200_2011/images.txt": b"1 001.fox/none.jpg"}, "image 1 has no file images/001.fox/none.jpg"),
        ({"./CUB_200_2011/images.txt": b"birds"}, "images.txt is no list of numbers and values"),
        ({"./CUB_200_2011/image_class_labels.txt": b"1 fox"}, "image_class_labels.txt is no list of numbers"),
    ],
)
def test_damaged_lists_of_cub_are_one_error_and_leave_nothing(change: dict[str, bytes], said: str, tmp_path: Path):
    assert said in refused("cub", {"CUB_200_2011.tgz": tarred({**cub_files(), **change}, "w:gz")}, tmp_path)


def test_an_image_of_very_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path):
    stream = io.BytesIO()
    Image.new("1", (1 << 13, (1 << 13) + 1)).save(stream, "PNG")
    assert len(stream.getvalue()) < 50000
    files = cifar_files() | {"cifar100/data/owl/o_s_000001.png": stream.getvalue()}
    assert "8192×8193 pixels, expected 67108864 or fewer" in refused("cifar-fs", files, tmp_path)


def test_a_full_disk_is_one_error_that_leaves_nothing(tmp_path: Path):
    given = place(cache_files(), tmp_path / "given")
    with small_disk(100), pytest.raises(OSError, match=r"File too large"):
        import_files("mini-imagenet", given, tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A data root with a small mini-ImageNet."""
    import_files("mini-imagenet", place(cache_files(), tmp_path / "given"), tmp_path / "root")
    return tmp_path / "root"


def test_a_changed_byte_is_found_by_verification(imported: Path):
    with (imported / "mini-imagenet" / "val.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    problems = [report.problem for report in verify("mini-imagenet", imported)]
    assert [problem is None for problem in problems] == [True, False, True]
    assert "val.npy has changed since it was imported" in str(problems[1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "val.npy").unlink(),
        lambda folder: os.truncate(folder / "val.npy", 200),
        lambda folder: (folder / "val.npy").write_bytes(npy(5, 3, 6, 6)),
        lambda folder: (folder / "val.npy").write_bytes(npy(6, 6, 6)),
        lambda folder: (folder / "about.json").write_text("{"),
        lambda folder: (folder / "about.json").write_text('{"format": 2}'),
        lambda folder: (folder / "about.json").write_text('{"format": 1}'),
        lambda folder: (folder / "about.json").write_text("[]"),
    ],
)
def test_what_was_imported_and_is_damaged_is_an_error_that_says_what_to_do(
    damage: Callable[[Path], object], imported: Path
):
    damage(imported / "mini-imagenet")
    with pytest.raises(ValueError, match=r"is not as it was imported .*; remove it and import it again"):
        Published(name="mini-imagenet").build(imported)


def test_the_hash_changes_with_the_images(imported: Path, tmp_path: Path):
    files = with_changed("image_data", lambda x: x + np.uint8(1))
    import_files("mini-imagenet", place(files, tmp_path / "others"), tmp_path / "other root")
    build = Published(name="mini-imagenet", ways=2, queries=1).build
    assert (
        build(imported).summary["hash"]
        == build(imported).summary["hash"]
        != build(tmp_path / "other root").summary["hash"]
    )


def test_a_list_whose_line_is_cut_short_is_an_error_by_its_line(tmp_path):
    files = ravi_lists() | ravi_images()
    files["train.csv"] = b"filename,label\nfox00000000.jpg\n"
    with pytest.raises(ValueError, match=r"train\.csv: line 2 has no label"):
        import_files("mini-imagenet", write(tmp_path / "given", files), tmp_path)


def test_a_header_of_an_array_that_is_no_python_is_an_error_by_its_file(tmp_path):
    """Numpy reads the header as literals of Python, and raises what the tokenizer does."""
    files = tiered_labels() | tiered_arrays()
    with zipfile.ZipFile(io.BytesIO(files["train_images.npz"])) as archive:
        data = archive.read("images.npy")
    files["train_images.npz"] = zipped({"images.npy": data[:10] + b"{'descr': (" + data[21:]})
    with pytest.raises(ValueError, match=r"train_images\.npz is damaged"):
        import_files("tiered-imagenet", write(tmp_path / "given", files), tmp_path)
