import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from fewstep.tasks.cache import NamedClasses, cache_folder, cached

SLOW_MAKER = """
import sys, time
from pathlib import Path
import numpy as np
from fewstep.tasks.cache import NamedClasses, cached

def make():
    Path(sys.argv[1], "maker-" + sys.argv[2]).touch()
    while len(list(Path(sys.argv[1]).glob("maker-*"))) < 2:
        time.sleep(0.01)
    return NamedClasses(np.full((2, 3, 4, 4), 7, np.uint8), ["a", "b"])

images, names = cached("shared", {"seed": 0}, make)
assert images.shape == (2, 3, 4, 4) and (images == 7).all() and names == ["a", "b"], (images, names)
"""


def classes(value: int = 0) -> NamedClasses:
    return NamedClasses(np.full((2, 3, 4, 4), value, np.uint8), ["a", "b"])


def stop() -> NoReturn:
    raise InterruptedError


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FEWSTEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.rglob("*"))


def test_the_folder_is_the_one_that_the_environment_names(folder):
    assert cache_folder() == folder


def test_without_the_environment_it_is_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("FEWSTEP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().name == "fewstep"


def test_an_array_is_made_once_and_read_from_then_on(folder):
    made = cached("things", {"seed": 0}, lambda: classes(5))
    read = cached("things", {"seed": 0}, stop)
    assert isinstance(read.images, np.memmap)
    assert np.array_equal(read.images, made.images)
    assert read.names == ["a", "b"]
    assert files(folder) == [".json", ".npy"]


@pytest.mark.parametrize(
    "other", [("things", {"seed": 1}), ("things", {"seed": 0, "size": 2}), ("others", {"seed": 0})]
)
def test_another_name_or_key_is_made_anew(folder, other):
    cached("things", {"seed": 0}, lambda: classes(5))
    assert (cached(*other, lambda: classes(6)).images == 6).all()
    assert (cached("things", {"seed": 0}, stop).images == 5).all()


def test_the_order_of_a_keys_fields_does_not_matter(folder):
    cached("things", {"seed": 0, "size": 2}, classes)
    cached("things", {"size": 2, "seed": 0}, stop)


def test_a_failed_making_leaves_nothing(folder):
    with pytest.raises(InterruptedError):
        cached("things", {"seed": 0}, stop)
    assert not folder.exists() or files(folder) == []


def test_a_half_written_array_is_never_seen(folder, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            cached("things", {"seed": 0}, classes)
    assert ".npy" not in files(folder)
    assert (cached("things", {"seed": 0}, lambda: classes(5)).images == 5).all()


def test_names_without_an_array_or_an_array_without_names_are_made_anew(folder):
    for suffix in (".json", ".npy"):
        cached("things", {"seed": 0}, lambda: classes(5))
        next(folder.glob(f"*{suffix}")).unlink()
        assert (cached("things", {"seed": 0}, lambda: classes(6)).images == 6).all()
        assert json.loads(next(folder.glob("*.json")).read_text()) == ["a", "b"]


def test_two_processes_that_make_the_same_at_once_both_get_it_whole(folder, tmp_path):
    command = [sys.executable, "-c", SLOW_MAKER, str(tmp_path)]
    environment = {**os.environ, "FEWSTEP_CACHE": str(folder)}
    processes = [subprocess.Popen([*command, str(i)], env=environment, stderr=subprocess.PIPE) for i in range(2)]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert files(folder) == [".json", ".npy"]


def test_a_file_cut_short_is_made_again():
    key = {"of": "a file cut short"}
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    cached("short", key, lambda: NamedClasses(images, ["a", "b"]))
    (array,) = cache_folder().glob("short-*.npy")
    array.write_bytes(array.read_bytes()[:-50])
    assert np.array_equal(cached("short", key, lambda: NamedClasses(images, ["a", "b"])).images, images)
