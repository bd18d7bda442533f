"""Choices between kinds of a recipe's part: `--net mlp`, `--net my_module:Net`, `--algorithm.optimizer adagrad`."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import TypeVar

from fewstep.inner.adagrad import Adagrad
from fewstep.inner.sgd import SGD
from fewstep.nets.conv4 import Conv4
from fewstep.nets.imported import Imported
from fewstep.nets.mlp import MLP
from fewstep.recipe import NetSpec, Recipe

Kind = TypeVar("Kind")

NET = "--net"
OPTIMIZER = "--algorithm.optimizer"
NETS: dict[str, NetSpec] = {"conv4": Conv4(), "mlp": MLP()}
OPTIMIZERS: dict[str, SGD | Adagrad] = {"sgd": SGD(), "adagrad": Adagrad()}

HELP = (
    f"{NET} {{{','.join(NETS)}}} or {NET} my_module:Net chooses another net, "
    f"{OPTIMIZER} {{{','.join(OPTIMIZERS)}}} another inner optimizer; their own fields can then be set as well"
)


def choose_kinds(recipe: Recipe, words: Sequence[str]) -> tuple[Recipe, list[str]]:
    """The recipe with the kinds that `words` choose, and the words that are left.

    Raises `ValueError` for a kind that does not exist, with the nearest.
    """
    left: list[str] = []
    remaining = iter(words)
    for word in remaining:
        option, _, value = word.partition("=")
        if option == NET:
            recipe = dataclasses.replace(recipe, net=_net(value or next(remaining, "")))
        elif option == OPTIMIZER:
            optimizer = _kind(OPTIMIZERS, option, value or next(remaining, ""))
            recipe = dataclasses.replace(recipe, algorithm=dataclasses.replace(recipe.algorithm, optimizer=optimizer))
        else:
            left.append(word)
    return recipe, left


def _net(name: str) -> NetSpec:
    return Imported(path=name) if ":" in name else _kind(NETS, NET, name)


def _kind(kinds: dict[str, Kind], option: str, name: str) -> Kind:
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"{option} {name}: expected one of {', '.join(kinds)}{hint}")
    return kinds[name]
