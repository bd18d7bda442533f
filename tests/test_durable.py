import os
import re
import threading
from pathlib import Path

import pytest

from fewstep.durable import append_line, discard_leftovers, make_folder, path_aside, replace_file, sync_file
from run_builders import small_disk


def test_lines_are_added_in_order(tmp_path):
    for line in ("one", "two"):
        append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_a_line_for_a_folder_that_does_not_exist_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot write .*nowhere/log: No such file"):
        append_line(tmp_path / "nowhere" / "log", "one")


def test_a_line_on_a_full_disk_is_an_error_that_names_the_file_and_keeps_the_lines_before(tmp_path):
    path = tmp_path / "log"
    append_line(path, "x" * 1900)
    with small_disk(2000), pytest.raises(OSError, match=re.escape(f"cannot write {path}")) as caught:
        append_line(path, "y" * 200)
    assert caught.value.errno
    assert path.read_text().startswith("x" * 1900 + "\n")


def test_a_file_that_cannot_be_replaced_is_named_and_is_as_it_was(tmp_path):
    path = tmp_path / "x.json"
    replace_file(path, b"good")
    with small_disk(2000), pytest.raises(OSError, match=rf"cannot write {re.escape(str(path))}.* is intact"):
        replace_file(path, b"x" * 3000)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.json", b"good")]


def test_a_folder_in_the_place_of_a_file_is_an_error_that_names_it_and_leaves_nothing_aside(tmp_path):
    (tmp_path / "x.json").mkdir()
    with pytest.raises(OSError, match=r"cannot write .*x\.json"):
        replace_file(tmp_path / "x.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_file_that_does_not_exist_needs_no_syncing(tmp_path):
    sync_file(tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_is_broken_off_leaves_the_file_as_it_was_and_nothing_aside(tmp_path, monkeypatch):
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    replace_file(tmp_path / "x.json", b"good")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "x.json", b"other")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.json", b"good")]


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("old")
    (tmp_path / "x.csv").symlink_to(tmp_path / "data" / "x.csv")
    replace_file(tmp_path / "x.csv", b"new")
    assert (tmp_path / "x.csv").is_symlink()
    assert (tmp_path / "data" / "x.csv").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_written_to_and_is_a_pipe_afterwards(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    replace_file(tmp_path / "pipe", b"table")
    reader.join()
    assert heard == [b"table"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_device_that_is_full_is_an_error_that_names_it():
    with pytest.raises(OSError, match=r"cannot write /dev/full: No space left"):
        replace_file(Path("/dev/full"), b"table")
    assert Path("/dev/full").is_char_device()


def test_leftovers_are_discarded_where_they_are_old_or_nobody_is_at_work(tmp_path):
    (tmp_path / ".data.12.partial").mkdir()  # of an import
    (tmp_path / ".data.12.partial" / "train.npy").write_bytes(b"half")
    names = [".a.12.partial", ".a.34.partial", ".b.12.partial", "a", ".hidden.partial", ".vimrc"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    for name in (".a.12.partial", ".b.12.partial", ".data.12.partial"):
        os.utime(tmp_path / name, (0, 0))
    discard_leftovers(tmp_path, "a")
    assert {path.name for path in tmp_path.iterdir()} == {*names, ".data.12.partial"} - {".a.12.partial"}
    discard_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".a.34.partial", "a", ".hidden.partial", ".vimrc"}
    discard_leftovers(tmp_path, idle_seconds=0)
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".hidden.partial", ".vimrc"}


def test_what_is_written_aside_is_known_as_a_leftover(tmp_path):
    path_aside(tmp_path / "x.json").write_text("half")
    discard_leftovers(tmp_path, idle_seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_with_those_above_it_and_one_that_cannot_be_is_named(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot make the folder .*file/run: Not a directory"):
        make_folder(tmp_path / "file" / "run")
