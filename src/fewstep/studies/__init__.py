"""Named studies."""

from fewstep.studies.assignment import ASSIGNMENT
from fewstep.study import Study

ALL: tuple[Study, ...] = (ASSIGNMENT,)


def find(name: str) -> Study | None:
    """The study called `name`, None where there is none: it may be a recipe."""
    return next((study for study in ALL if study.name == name), None)
