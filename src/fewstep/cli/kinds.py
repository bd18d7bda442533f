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
BOTH = "--tasks."
FOLDER = f"{BOTH}folder"
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
    "(DIR/CLASS/IMAGE) to train and test on; their own fields can then be set as well. --tasks.FIELD (--tasks.ways, "
    "--tasks.shots, ...) sets a field of both train and test tasks"
)


def choose_kinds(recipe: Recipe, words: Sequence[str]) -> tuple[Recipe, list[str]]:
    """The recipe with the kinds that `words` choose, and the words that are left for its fields.

    `--tasks.FIELD` becomes the same field of train and test tasks, before the words that set one of them.

    Raises `ValueError` for a kind, or a field of tasks, that does not exist, with the nearest.
    """
    left: list[str] = []
    remaining = iter(words)
    for word in remaining:
        option, _, value = word.partition("=")
        if option not in CHOICES:
            left.append(word)
            continue
        recipe = CHOICES[option](recipe, value or next(remaining, ""))
    return recipe, _with_both(recipe, left)


def _with_both(recipe: Recipe, words: Sequence[str]) -> list[str]:
    """The words with every `--tasks.FIELD` and its values said of both, first, so that what is said of one counts."""
    both: list[str] = []
    left: list[str] = []
    at = left
    for word in words:
        if word.startswith(BOTH):
            _refuse_unknown(recipe, word)
            at = both
        elif word.startswith("--"):
            at = left
        at.append(word)
    return [word.replace(BOTH, side, 1) for side in ("--train-tasks.", "--test-tasks.") for word in both] + left


def _refuse_unknown(recipe: Recipe, word: str) -> None:
    known = [
        f"{BOTH}{field.name.replace('_', '-')}"
        for field in dataclasses.fields(recipe.train_tasks)
        if field.name in {other.name for other in dataclasses.fields(recipe.test_tasks)}
    ]
    option = word.partition("=")[0].replace("_", "-")
    if option.replace(f"{BOTH}no-", BOTH) not in known:
        raise ValueError(
            f"{option}: train and test tasks have no such field, but {', '.join(known)}{nearest(option, known)}"
        )


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
