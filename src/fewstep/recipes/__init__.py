"""Named recipes, typed values: the rows of the papers' tables, the assignment's, and our own."""

from fewstep.importing import imported
from fewstep.nearest import nearest
from fewstep.recipe import Recipe
from fewstep.recipes import (
    budget,
    budget_heads,
    course,
    mini_imagenet,
    omniglot,
    omniglot_heads,
    omniglot_mamlpp,
    omniglot_relatives,
    omniglot_reptile,
    shipped,
    sinusoid,
    strokes,
)

ALL: tuple[Recipe, ...] = (
    *strokes.RECIPES,
    *omniglot.RECIPES,
    *omniglot_mamlpp.RECIPES,
    *omniglot_reptile.RECIPES,
    *omniglot_relatives.RECIPES,
    *omniglot_heads.RECIPES,
    *mini_imagenet.RECIPES,
    *budget.RECIPES,
    *budget_heads.RECIPES,
    *shipped.RECIPES,
    *sinusoid.RECIPES,
    *course.RECIPES,
)
DEFAULT = strokes.RECIPES[0].name


def find(name: str) -> Recipe:
    """The recipe called `name`, or one of your own by its import path, `my_module:RECIPE`.

    Raises `ValueError` with the nearest name where there is none.
    """
    if ":" in name:
        return _own(name)
    for recipe in ALL:
        if recipe.name == name:
            return recipe
    hint = nearest(name, (recipe.name for recipe in ALL))
    raise ValueError(f"there is no recipe '{name}'{hint} (`fewstep recipes` lists them)")


def _own(path: str) -> Recipe:
    recipe = imported(path, said_as=f"recipe '{path}'", example="my_module:RECIPE")
    if not isinstance(recipe, Recipe):
        raise ValueError(f"recipe '{path}' is a {type(recipe).__name__}, expected a fewstep.Recipe")
    return recipe
