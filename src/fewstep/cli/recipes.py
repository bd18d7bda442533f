"""`fewstep recipes [NAME]`: what there is to train."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from fewstep import recipes
from fewstep.recipe import to_json


@dataclass(frozen=True, kw_only=True)
class RecipesArguments:
    """List the recipes, or print one with every field."""

    name: Annotated[str | None, tyro.conf.Positional] = None
    """a recipe"""


def main(words: Sequence[str]) -> int:
    """Parse and print."""
    arguments = tyro.cli(RecipesArguments, prog="fewstep recipes", args=list(words))
    if arguments.name is not None:
        sys.stdout.write(json.dumps(to_json(recipes.find(arguments.name)), indent=2) + "\n")
        return 0
    width = max(len(recipe.name) for recipe in recipes.ALL)
    for recipe in recipes.ALL:
        sys.stdout.write(f"{recipe.name:{width}}  {recipe.about}\n")
    return 0
