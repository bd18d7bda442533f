"""Training that is killed ends as if it never had been: see kills for how, and for the long variant."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

TESTS, TRUST = Path(__file__).parent, Path(__file__).parent.parent / "results" / "trust"
FIVE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from kills import Kill, alone, counted, kill_all_the_time

kills = [Kill(step=3), Kill(step=12), Kill(seconds=0.3), Kill(step=40), Kill(step=34)]
print(counted(kill_all_the_time(Path(sys.argv[2]), alone, kills, "run")))
"""
"""Before the recipe is synced, in the middle of the first lines and files, and later."""


def test_a_run_killed_five_times_in_the_middle_of_writes_and_at_any_moment_ends_bit_identical(tmp_path):
    command = [sys.executable, "-c", FIVE, str(TESTS), str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr
    assert "kills=5" in told.stdout


def test_the_kills_that_the_document_states_were_recorded():
    record = json.loads((TRUST / "kills.json").read_text())
    assert record["kills"] == record["resumes bit-identical"] == sum(record["how started"].values()) >= 50
    stated = re.search(r"(\d+) kills, (\d+) of them in the middle of a write", (TRUST / "README.md").read_text())
    assert [int(number) for number in stated.groups()] == [record["kills"], record["kills in the middle of a write"]]
