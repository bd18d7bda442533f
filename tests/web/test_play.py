"""`fewstep play` as a user starts and ends it."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path


def test_play_says_where_it_is_answers_there_and_ends_quietly_with_ctrl_c(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fewstep", "play", "--port", "0", "--runs", str(tmp_path)]
    playing = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert playing.stdout is not None
    said = playing.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, said
    with urllib.request.urlopen(found[0]) as answer:
        assert b"Teach me a symbol" in answer.read()
    playing.send_signal(signal.SIGINT)
    _, errors = playing.communicate(timeout=30)
    assert (playing.returncode, errors) == (0, "")
