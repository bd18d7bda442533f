"""The six Omniglot protocols: which classes train, select and test, and how their images are treated.

No two repositories agree on these, so every field is fixed under a name and each split has a printed hash.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from fewstep import seeding
from fewstep.digest import digest

ProtocolName = Literal["lake", "vinyals", "finn", "mamlpp", "reptile", "course"]


class TurnedClass(NamedTuple):
    """A character (`background/Greek/character01`), turned by 0 to 3 quarter turns."""

    name: str
    quarter_turns: int = 0


class ClassLists(NamedTuple):
    """The classes of each split; `val` may be empty."""

    train: list[TurnedClass]
    val: list[TurnedClass]
    test: list[TurnedClass]

    def digest(self) -> str:
        """16 hexadecimal digits that change with any class of any split."""
        return digest(self)

    def shared(self) -> dict[str, int]:
        """How many characters, whatever their rotation, two splits share: {} when none."""
        names = {split: {c.name for c in classes} for split, classes in self._asdict().items()}
        pairs = (("train", "val"), ("train", "test"), ("val", "test"))
        return {f"{a}/{b}": len(names[a] & names[b]) for a, b in pairs if names[a] & names[b]}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything a repository fixes beside the algorithm. Queries are per class; None means as many as shots."""

    split: Callable[[Sequence[str]], ClassLists]
    train_queries: int | None
    test_queries: int | None
    resampling: Literal["nearest", "lanczos"]
    inverted: bool = False
    random_turns: bool = False
    test: str = ""
    """How the protocol's own repository tests; a recipe's `evaluation` sets it."""
    overlap: str = ""
    """Why train and val share characters, where that is part of the definition."""


VINYALS_VAL = ("Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)")


def lake(names: Sequence[str]) -> ClassLists:
    """Background trains, evaluation tests (Lake et al. 2015): disjoint alphabets, no rotations."""
    return ClassLists(_upright(_background(names)), [], _upright(_evaluation(names)))


def vinyals(names: Sequence[str]) -> ClassLists:
    """1028 / 172 / 423 (arXiv:1606.04080, lists as in Snell et al.): the first 1200 train and select."""
    first, last = names[:1200], names[1200:]
    val = [name for name in first if _alphabet(name) in VINYALS_VAL]
    train = [name for name in first if _alphabet(name) not in VINYALS_VAL]
    return ClassLists(_turned(train), _turned(val), _turned(last))


def finn(names: Sequence[str]) -> ClassLists:
    """1100 / 100 / 423 characters, shuffled (cbfinn/maml, seed 1); rotations are drawn with each task."""
    shuffled = _upright(_shuffled_by_python(names, seed=1))
    return ClassLists(shuffled[:1100], shuffled[1100:1200], shuffled[1200:])


def mamlpp(names: Sequence[str]) -> ClassLists:
    """1150 / 50 / 423 characters, shuffled (HowToTrainYourMAMLPytorch, seed 0); rotations train only."""
    order = np.random.RandomState(0).permutation(len(names))
    shuffled = [names[i] for i in order]
    return ClassLists(_turned(shuffled[:1150]), _upright(shuffled[1150:1200]), _upright(shuffled[1200:]))


def reptile(names: Sequence[str]) -> ClassLists:
    """1200 / – / 423 characters, sorted over both archives, then shuffled with seed 0 (supervised-reptile)."""
    by_alphabet = sorted(names, key=lambda name: name.split("/")[1:])
    shuffled = _shuffled_by_python(by_alphabet, seed=0)
    return ClassLists(_turned(shuffled[:1200]), [], _upright(shuffled[1200:]))


def course(names: Sequence[str]) -> ClassLists:
    """3200 / 656 of the 3856 turned background characters at random, test on the 2636 of evaluation."""
    background = _turned(_background(names))
    order = seeding.numpy_generator(0, "protocol/course").permutation(len(background))
    shuffled = [background[i] for i in order]
    return ClassLists(shuffled[:3200], shuffled[3200:], _turned(_evaluation(names)))


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "lake": Protocol(split=lake, train_queries=1, test_queries=1, resampling="lanczos"),
    "vinyals": Protocol(split=vinyals, train_queries=15, test_queries=15, resampling="lanczos", test="1000 tasks"),
    "finn": Protocol(
        split=finn,
        train_queries=None,
        test_queries=None,
        resampling="nearest",
        inverted=True,
        random_turns=True,
        test="600 tasks, 3 steps (5-way) or 5 steps (20-way)",
    ),
    "mamlpp": Protocol(split=mamlpp, train_queries=1, test_queries=1, resampling="nearest", test="600 tasks, 5 steps"),
    "reptile": Protocol(
        split=reptile,
        train_queries=1,
        test_queries=1,
        resampling="nearest",
        test="10000 tasks, 50 steps of mini-batches of 5 (20-way: 10)",
    ),
    "course": Protocol(
        split=course,
        train_queries=1,
        test_queries=1,
        resampling="lanczos",
        test="3 steps",
        overlap="the course splits turned characters at random, so rotations of one character straddle train and val",
    ),
}


def _background(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith("background/")]


def _evaluation(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith("evaluation/")]


def _alphabet(name: str) -> str:
    return name.split("/")[1]


def _upright(names: Sequence[str]) -> list[TurnedClass]:
    return [TurnedClass(name) for name in names]


def _turned(names: Sequence[str]) -> list[TurnedClass]:
    return [TurnedClass(name, quarter_turns) for name in names for quarter_turns in range(4)]


def _shuffled_by_python(names: Sequence[str], seed: int) -> list[str]:
    shuffled = list(names)
    random.Random(seed).shuffle(shuffled)
    return shuffled
