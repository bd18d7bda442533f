"""Invented alphabets: a style and a small pool of stroke shapes, which characters attach to one another.

After the generative model of Omniglot: Bayesian program learning (Lake et al., Science 2015).
Shapes: C characters, S = 5 strokes, K control points.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fewstep.tasks.stroke_geometry import TURNS, Floats, Integers, path

STROKES = 5


class Style(NamedTuple):
    """What the characters of one alphabet share; lengths in units of the picture's side."""

    shapes: Floats  # [shapes, K, 2], the pool of strokes
    popularity: Floats  # [shapes], how often each is drawn; sums to 1
    stroke_counts: Floats  # [S], how often a character has 1 ... S strokes; sums to 1
    roundness: float
    box: Floats  # [2], the usual width and height of a character
    detached: float  # how often a stroke does not touch the one it belongs to


class Characters(NamedTuple):
    """C characters: how each stroke is made and where it is attached; strokes that are not used are not drawn."""

    controls: Floats  # [C, S, K, 2]
    roundness: Floats  # [C, S]
    used: npt.NDArray[np.bool_]  # [C, S]
    parent: Integers  # [C, S]
    parent_at: Floats  # [C, S]
    own_at: Floats  # [C, S]
    gap: Floats  # [C, S, 2]
    box: Floats  # [C, 2], the size at which the character is drawn
    place: Floats  # [C, 2], where its middle lies


def _straight(rng: np.random.Generator) -> Floats:
    return np.zeros(TURNS)


def _arc(rng: np.random.Generator) -> Floats:
    return np.full(TURNS, rng.uniform(60, 220) / TURNS)


def _loop(rng: np.random.Generator) -> Floats:
    return np.full(TURNS, rng.uniform(330, 380) / TURNS)


def _hook(rng: np.random.Generator) -> Floats:
    """A straight line, then a bend over the last steps: j, or with most of the turn a lollipop, as in 9."""
    straight = rng.integers(2, TURNS - 3)
    return np.where(np.arange(TURNS) < straight, 0, rng.uniform(100, 340) / (TURNS - straight))


def _snake(rng: np.random.Generator) -> Floats:
    switch = rng.integers(5, TURNS - 4)
    return np.where(np.arange(TURNS) < switch, 1, -1) * rng.uniform(15, 32)


def _corner(rng: np.random.Generator) -> Floats:
    turns = np.zeros(TURNS)
    turns[rng.integers(3, TURNS - 2)] = rng.uniform(60, 140)
    return turns


def _two_corners(rng: np.random.Generator) -> Floats:
    """A square U, or with the turns in opposite directions a Z."""
    turns = np.zeros(TURNS)
    turns[rng.integers(2, 5)], turns[rng.integers(7, 10)] = rng.uniform(60, 130, 2) * [1, rng.choice([-1, 1])]
    return turns


def _cusp(rng: np.random.Generator) -> Floats:
    """Two bows that meet in a cusp: 3, m, w."""
    bows = np.full(TURNS, rng.uniform(18, 34))
    bows[TURNS // 2] = -rng.uniform(110, 170)
    return bows


def _cursive(rng: np.random.Generator) -> Floats:
    """Bends of four different strengths, one after another."""
    return np.repeat(rng.normal(0, 32, 4), TURNS // 4)


_KINDS = (_straight, _arc, _loop, _hook, _snake, _corner, _two_corners, _cusp, _cursive)
_KIND_WEIGHTS = np.array([2.4, 1.4, 0.5, 1.3, 0.7, 1.2, 1.0, 0.6, 0.8])


def _shape(weights: Floats, rng: np.random.Generator) -> Floats:
    """One stroke [K, 2]: a kind, its initial heading near a multiple of 45 degrees, either handedness."""
    turns = _KINDS[rng.choice(len(_KINDS), p=weights)](rng) * rng.choice([-1, 1])
    turns[0] = 45 * rng.choice(4, p=[0.35, 0.15, 0.4, 0.1]) + rng.normal(0, 5)
    return path(turns) * rng.uniform(0.5, 1.0)


def invent_style(rng: np.random.Generator) -> Style:
    """The style of a new alphabet."""
    weights = rng.dirichlet(_KIND_WEIGHTS)
    shapes = np.stack([_shape(weights, rng) for _ in range(rng.integers(8, 16))])
    counts = np.exp(-((np.arange(1, STROKES + 1) - rng.uniform(1.6, 4.6)) ** 2) / 1.6)
    return Style(
        shapes=shapes,
        popularity=rng.dirichlet(np.full(len(shapes), 2.0)),
        stroke_counts=counts / counts.sum(),
        roundness=rng.uniform(0.2, 1.1),
        box=np.array([0.475, 0.555]) * np.exp(rng.normal(0, [0.2, 0.16])),
        detached=rng.choice([0.05, 0.3, 0.6], p=[0.5, 0.3, 0.2]),
    )


def invent_characters(style: Style, count: int, rng: np.random.Generator) -> Characters:
    """Characters that combine the shapes of a style."""
    each = (count, STROKES)
    shape = rng.choice(len(style.shapes), each, p=style.popularity)
    flips = rng.choice([-1.0, 1.0], (*each, 1, 2), p=[0.25, 0.75])
    lengths = np.exp(rng.normal(0, 0.25, each)) * np.array([1.0, 0.9, 0.8, 0.7, 0.65])
    detached = rng.random((*each, 1)) < style.detached
    dots = detached[..., 0] & (rng.random(each) < 0.5)
    strokes = 1 + rng.choice(STROKES, (count, 1), p=style.stroke_counts)
    return Characters(
        controls=style.shapes[shape] * flips * np.where(dots, 0.04, lengths)[..., None, None],
        roundness=np.clip(style.roundness + rng.normal(0, 0.15, each), 0, 1),
        used=np.arange(STROKES) < strokes,
        parent=rng.integers(0, np.maximum(1, np.arange(STROKES)), each),
        parent_at=_joints(each, rng),
        own_at=_joints(each, rng),
        gap=detached * rng.normal(0, 0.35, (*each, 2)),
        box=style.box * np.exp(rng.normal(0, [0.16, 0.12], (count, 2))),
        place=0.485 + rng.normal(0, 0.014, (count, 2)),
    )


def _joints(each: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Where strokes join: mostly at a start, an end or a middle."""
    usual = rng.choice([0.0, 0.5, 1.0], each, p=[0.45, 0.2, 0.35])
    return np.where(rng.random(each) < 0.75, usual, rng.random(each))
