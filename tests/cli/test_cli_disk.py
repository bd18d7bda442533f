"""A disk that is full or read-only, and data that have gone: one line of error, and the last checkpoint is intact."""

import errno
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewstep.checkpoint import load_checkpoint
from fewstep.cli import main
from fewstep.journal import checkpoints, newest_update
from run_builders import assert_same_folder

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux alone")

TRAIN = [
    *["train", "sinusoid-10s-maml", "--resume", "--net.hidden", "8", "--threads", "1", "--chunk", "1"],
    *["--training.updates", "6", "--training.meta-batch", "2", "--training.checkpoint-every", "2"],
    *["--training.validate-every", "3", "--training.validation-tasks", "4"],
    *["--evaluation.tasks", "4", "--evaluation.steps", "1"],
]


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    yield
    logging.getLogger("fewstep").handlers.clear()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*TRAIN, "--out", str(folder)]) == 0
    return folder


def error_of(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The line with which a command fails."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (line,) = (line for line in err.splitlines() if line.startswith("fewstep: error: "))
    assert err.endswith(f"{line}\n")
    return line.removeprefix("fewstep: error: ")


@pytest.mark.parametrize("name", ["recipe.json", "best.safetensors", "report.html"])
def test_a_disk_that_is_full_at_any_file_is_one_line_and_the_run_goes_on_from_its_checkpoint(
    name, whole, tmp_path, capsys, monkeypatch
):
    folder, sync = tmp_path / "run", os.fsync

    def full(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().name.startswith(f".{name}."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = error_of(capsys, *TRAIN, "--out", folder)
    assert said == f"cannot write {folder / name}: No space left on device; what was there before is intact"
    assert not list(folder.glob(".*"))
    assert not (folder / name).exists()
    assert newest_update(folder) == {"recipe.json": 0, "best.safetensors": 3, "report.html": 6}[name]
    assert all(load_checkpoint(path) for path in checkpoints(folder))
    assert main([*TRAIN, "--out", str(folder)]) == 0
    assert_same_folder(folder, whole)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 28 kB: room for the first checkpoints of a run."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=28k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_small_disk_fills_up_and_with_more_room_the_run_ends_bit_identical(disk, whole, capsys):
    said = error_of(capsys, *TRAIN, "--out", disk / "run")
    assert said.startswith(f"cannot write {disk / 'run'}")
    assert "No space left on device" in said
    assert [load_checkpoint(path).update for path in checkpoints(disk / "run")]
    remount(disk, "size=4m")
    assert main(["resume", str(disk / "run")]) == 0
    assert_same_folder(disk / "run", whole)


def test_a_read_only_disk_takes_no_run_gives_its_runs_to_evaluate_and_goes_on_once_it_can_be_written(
    disk, whole, tmp_path, capsys
):
    remount(disk, "size=4m")
    run = Path(shutil.copytree(whole, disk / "run"))
    for later in (*run.glob("*00000006*"), run / "result.json"):
        later.unlink()
    remount(disk, "ro")
    assert error_of(capsys, *TRAIN, "--out", disk / "other").startswith(f"cannot make the folder {disk / 'other'}: Re")
    said = error_of(capsys, "resume", run)
    assert said == f"cannot write {run / 'metrics.jsonl'}: Read-only file system; what was there before is intact"
    assert load_checkpoint(checkpoints(run)[-1]).update == 4
    assert main(["evaluate", str(run)]) == 0
    remount(disk, "rw")
    assert main(["resume", str(run)]) == 0
    assert_same_folder(run, whole)


def test_data_that_have_gone_are_one_line_that_names_them_and_the_run_goes_on_once_they_are_back(tmp_path, capsys):
    birds, rng = tmp_path / "birds", np.random.default_rng(0)
    for i in range(20):
        (birds / f"bird{i:02d}").mkdir(parents=True)
        for j in range(2):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(birds / f"bird{i:02d}" / f"{j}.png")
    sizes = [word for tasks in ("train", "test") for word in (f"--{tasks}-tasks.size", "8")]
    sizes += [word for tasks in ("train", "test") for word in (f"--{tasks}-tasks.queries", "1")]
    words = ["train", "--tasks.folder", birds, *sizes, "--net.filters", "4", "--threads", "1", "--chunk", "1"]
    few = ["--training.meta-batch", "1", "--evaluation.tasks", "2", "--training.validation-tasks", "2"]
    run = tmp_path / "run"
    assert main([str(word) for word in (*words, *few, "--updates", "4", "--minutes", "0", "--out", run)]) == 0
    gone, kept = birds / "bird03" / "1.png", (tmp_path / "elsewhere").with_suffix(".png")
    gone.rename(kept)
    assert f"the class lists of {run} were" in error_of(capsys, "resume", run)
    kept.rename(gone)
    birds.rename(tmp_path / "away")
    assert str(birds) in error_of(capsys, "resume", run)
    assert load_checkpoint(checkpoints(run)[-1]).update == 1
    (tmp_path / "away").rename(birds)
    assert main(["resume", str(run)]) == 0
    assert newest_update(run) == 4
