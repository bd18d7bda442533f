"""The learners that a page of images can choose: those of the package, and the user's own below one folder."""

from pathlib import Path
from typing import NamedTuple

from fewstep.learner_file import read_learner, shipped
from fewstep.recipe import Recipe
from fewstep.web.answers import NotThereError
from fewstep.web.own_learners import own_learners

FIRST = "omniglot-protomaml"
"""Of the package's learners: it takes any number of symbols and knows odd drawings best."""
MOST_WAYS = 20
OWN = "runs/"
"""What the names of the user's own begin with, whose folder may hold one that is called as the package's."""


class Choice(NamedTuple):
    """A learner: where it lies, what it was trained by, and how many classes it tells apart; None: any number."""

    source: Path
    recipe: Recipe
    ways: int | None
    accuracy: str


def choices(folder: Path) -> dict[str, Choice]:
    """All by name, the first choice first; those that do not take 2 to 20 symbols are passed over."""
    found = {}
    for name, path in sorted(shipped().items(), key=lambda item: item[0] != FIRST):
        packed = read_learner(path)
        found[name] = Choice(path, packed.recipe, _ways(packed.recipe), packed.accuracy)
    for name, (path, recipe) in sorted(own_learners(folder).items()):
        if getattr(recipe.test_tasks, "preprocessing", None) is not None:
            found[f"{OWN}{name}"] = Choice(path, recipe, _ways(recipe), "")
    return {name: choice for name, choice in found.items() if choice.ways is None or 2 <= choice.ways <= MOST_WAYS}


def choice_of(folder: Path, name: str) -> Choice:
    """The choice of that name.

    Raises `NotThereError` where there is none.
    """
    found = choices(folder).get(name)
    if found is None:
        raise NotThereError(f"there is no trained learner of images called '{name}'")
    return found


def _ways(recipe: Recipe) -> int | None:
    ways: int = getattr(recipe.train_tasks, "ways", 1)
    return None if recipe.algorithm.makes_head else ways
