import re

import pytest

from fewstep.durable import append_line, replace_file, sync_file
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
