"""Choices between kinds of a recipe's parts: `--net my_module:Net`, `--algorithm.optimizer adagrad`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fewstep.inner.adagrad import Adagrad
from fewstep.inner.adam import Adam
from fewstep.inner.momentum import Momentum
from fewstep.inner.optimizers import InnerOptimizerSpec
from fewstep.inner.rmsprop import RMSprop
from fewstep.inner.sgd import SGD
from fewstep.nearest import nearest
from fewstep.nets.conv4 import Conv4
from fewstep.nets.imported import Imported
from fewstep.nets.mlp import MLP
from fewstep.nets.resnet12 import ResNet12
from fewstep.recipe import NetSpec, Recipe
from fewstep.tasks.images import ImageFolder

Kind = TypeVar("Kind")

NET = "--net"
OPTIMIZER = "--algorithm.optimizer"
FOLDER = "--tasks.folder"
NETS: dict[str, NetSpec] = {"conv4": Conv4(), "resnet12": ResNet12(), "mlp": MLP()}
OPTIMIZERS: dict[str, InnerOptimizerSpec] = {
    "sgd": SGD(),
    "momentum": Momentum(),
    "adagrad": Adagrad(),
    "rmsprop": RMSprop(),
    "adam": Adam(),
}

HELP = (
    f"{NET} {{{','.join(NETS)}}} or {NET} my_module:Net chooses another net, "
    f"{OPTIMIZER} {{{','.join(OPTIMIZERS)}}} another inner optimizer, {FOLDER} DIR your own images "
    "(DIR/CLASS/IMAGE) to train and test on; their own fields can then be set as well"
)


def choose_kinds(recipe: Recipe, words: Sequence[str]) -> tuple[Recipe, list[str]]:
    """The recipe with the kinds that `words` choose, and the words that are left.

    Raises `ValueError` for a kind that does not exist, with the nearest.
    """
    left: list[str] = []
    remaining = iter(words)
    for word in remaining:
        option, _, value = word.partition("=")
        if option not in CHOICES:
            left.append(word)
            continue
        recipe = CHOICES[option](recipe, value or next(remaining, ""))
    return recipe, left


def _with_net(recipe: Recipe, name: str) -> Recipe:
    net = Imported(path=name) if ":" in name else _kind(NETS, NET, name, recipe.net)
    return dataclasses.replace(recipe, net=net)


def _with_optimizer(recipe: Recipe, name: str) -> Recipe:
    algorithm: Any = recipe.algorithm
    if "optimizer" not in {field.name for field in dataclasses.fields(algorithm)}:
        raise ValueError(f"{OPTIMIZER}: {type(algorithm).__name__} has an inner rule of its own; leave it out")
    optimizer = _kind(OPTIMIZERS, OPTIMIZER, name, algorithm.optimizer)
    return dataclasses.replace(recipe, algorithm=dataclasses.replace(algorithm, optimizer=optimizer))


def _with_folder(recipe: Recipe, folder: str) -> Recipe:
    tasks = ImageFolder(folder=folder)
    return dataclasses.replace(recipe, train_tasks=tasks, test_tasks=tasks)


CHOICES: dict[str, Callable[[Recipe, str], Recipe]] = {
    NET: _with_net,
    OPTIMIZER: _with_optimizer,
    FOLDER: _with_folder,
}


def _kind(kinds: dict[str, Kind], option: str, name: str, present: Kind) -> Kind:
    """The kind by its name; the one at hand, with its fields, where it is of that kind already."""
    if name not in kinds:
        raise ValueError(f"{option} {name}: expected one of {', '.join(kinds)}{nearest(name, kinds)}")
    return present if type(present) is type(kinds[name]) else kinds[name]
