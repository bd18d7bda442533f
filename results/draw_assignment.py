"""Draw the study of the assignment from the recorded runs: `python results/draw_assignment.py`."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from fewstep import studies
from fewstep.report import study_page

HERE = Path(__file__).resolve().parent
TARGET = HERE / "assignment"
FOLDER = Path("studies") / "assignment"
"""Where the command that the page states puts the runs, unless told otherwise."""


def draw() -> Path:
    """The page, its figures and its numbers; the runs themselves stay where they are recorded."""
    study = studies.find("assignment")
    assert study is not None
    with tempfile.TemporaryDirectory() as root:
        os.chdir(root)  # the page states the folder as it was given
        for system in study.systems:
            if (record := HERE / system.recipe).exists():
                shutil.copytree(record, FOLDER / f"{system.recipe}-s0")
        study_page.write(study, FOLDER)
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(FOLDER, TARGET, ignore=shutil.ignore_patterns("*-s0"))
        os.chdir(HERE)
    return TARGET


if __name__ == "__main__":
    sys.stdout.write(f"{draw()}\n")
