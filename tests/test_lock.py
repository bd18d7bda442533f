import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fewstep.lock import locked
from run_builders import train_sinusoids

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no such locks")

HOLDER = """
import sys
from pathlib import Path
from fewstep.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def assert_refused(folder: Path) -> None:
    said = rf"another process is training in {re.escape(str(folder))}; wait for it or stop it first"
    with pytest.raises(ValueError, match=said), locked(folder):
        pass


def test_a_folder_is_held_until_the_end_also_after_an_error(tmp_path):
    def fail_inside() -> None:
        with locked(tmp_path):
            assert_refused(tmp_path)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail_inside()
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_folders_are_held_at_once_and_no_folder_needs_no_lock(tmp_path):
    (tmp_path / "other").mkdir()
    with locked(tmp_path), locked(tmp_path / "other"), locked(None), locked(None):
        pass


def test_a_folder_that_another_process_holds_is_refused_until_that_process_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            assert_refused(tmp_path)
        finally:
            process.kill()
    with locked(tmp_path):
        pass


def test_training_in_a_folder_that_is_held_is_refused_and_writes_nothing(tmp_path):
    with locked(tmp_path), pytest.raises(ValueError, match="another process is training in"):
        train_sinusoids(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert train_sinusoids(tmp_path).status == "finished"
