"""A course's exercise: a recipe trained and tested in a folder of the caller's, and one last line for the report."""

import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from fewstep.cli import main
from fewstep.result_file import read_result

OUTPUT = "runs"


def train_and_test(*names: str, words: Sequence[str] | None = None) -> int:
    """Train each recipe into `[output folder]/NAME`, test it, print `Testing accuracy: 0.953`; the exit code.

    `words` (default: those of the command line) are `[data folder] [output folder] [options]`, the options those of
    `fewstep train NAME`. An unfinished run is resumed, a finished one tested again.
    """
    words = list(sys.argv[1:] if words is None else words)
    folders = list(takewhile(lambda word: not word.startswith("-"), words))
    if len(folders) > 2:
        sys.stderr.write(f"expected [data folder] [output folder] [options], got {' '.join(words)}\n")
        return 2
    data = ["--data-root", folders[0]] if folders else []
    for name in names:
        out = Path(folders[1] if len(folders) > 1 else OUTPUT) / name
        code = main(["train", name, "--resume", *data, "--out", str(out), *words[len(folders) :]])
        if code or not (out / "result.json").exists():  # there is none after --help or --dry-run
            return code
        sys.stdout.write(f"{last_line(out)}\n")
    return 0


def last_line(run: Path) -> str:
    """`Testing accuracy: 0.953`, or `Testing loss: 1.952`, of a tested run."""
    result = read_result(run)
    if result is None:
        raise ValueError(f"{run} has not been tested yet; `fewstep resume {run}` does it")
    what = "accuracy" if result["metric"] == "accuracy" else "loss"
    return f"Testing {what}: {result['at_step'][-1][0]:.3f}"
