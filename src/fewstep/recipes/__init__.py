"""Named recipes, one typed value per row of a paper's table."""

import difflib

from fewstep.recipe import Recipe
from fewstep.recipes import course, omniglot, sinusoid, strokes

ALL: tuple[Recipe, ...] = (*strokes.RECIPES, *omniglot.RECIPES, *sinusoid.RECIPES, *course.RECIPES)
DEFAULT = strokes.RECIPES[0].name


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises `ValueError` with the nearest name where there is none.
    """
    for recipe in ALL:
        if recipe.name == name:
            return recipe
    near = difflib.get_close_matches(name, [recipe.name for recipe in ALL], n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"there is no recipe '{name}'{hint} (`fewstep recipes` lists them)")
