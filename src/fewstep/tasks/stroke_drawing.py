"""The embedded data set `strokes`: handwritten-looking alphabets drawn procedurally, in Omniglot's stead.

Shapes: C characters, D drawers, S strokes, K control points, P samples of a curve.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fewstep.seeding import numpy_generator
from fewstep.tasks.cache import NamedClasses
from fewstep.tasks.stroke_characters import STROKES, Characters, invent_characters, invent_style
from fewstep.tasks.stroke_geometry import CONTROLS, Floats, Integers, attach, bounds, curve, ink, keep_inside

MARGIN = 0.065  # of the picture's side, between the pen's tip and the border: no ink reaches the border
SKETCH_PEN = 0.03  # radius of a pen, in units of the picture's side


class Hand(NamedTuple):
    """How D drawers depart from C characters: all zeros is the character itself."""

    tremor: Floats  # [C, D, S, K, 2], added to control points, relative to the stroke's size
    turn: Floats  # [C, D, S, 2, 2], added to each stroke's identity map
    slip: Floats  # [C, D, S], added to the joints
    shift: Floats  # [C, D, S, 2], added to gaps
    roundness: Floats  # [C, D, S]
    affine: Floats  # [C, D, 2, 2], added to the drawing's identity map
    place: Floats  # [C, D, 2]


_STILL = Hand(*[np.zeros(())] * len(Hand._fields))  # broadcasts: one drawer who departs from nothing


def draw_alphabets(
    seed: int,
    alphabets: int,
    drawers: int = 20,
    size: int = 28,
    minimum_characters: int = 24,
    maximum_characters: int = 40,
    first: int = 0,
) -> NamedClasses:
    """Alphabets `first` ... `first + alphabets - 1` of a seed: images [C, drawers, size, size], ink 0 on paper 255.

    Each alphabet has from `minimum_characters` to `maximum_characters` classes, named `alphabet07/character12`,
    and is a function of its index and the other arguments only, not of how many alphabets are drawn.
    Raises ValueError where a number is out of range.
    """
    _check({"seed": (seed, 0), "alphabets": (alphabets, 1), "drawers": (drawers, 1), "size": (size, 8)})
    _check({"first": (first, 0), "minimum_characters": (minimum_characters, 1)})
    _check({"maximum_characters": (maximum_characters, minimum_characters)})
    images, names = [], []
    for index in range(first, first + alphabets):
        characters = _alphabet(seed, index, minimum_characters, maximum_characters)
        rng = numpy_generator(seed, "strokes/drawers", index)
        hand = _hand(len(characters.used), drawers, rng)
        images.append(_render(characters, hand, _pens(drawers, rng), size))
        names += [f"alphabet{index:02d}/character{c:02d}" for c in range(1, len(characters.used) + 1)]
    return NamedClasses(np.concatenate(images), names)


def trace_alphabet(seed: int, index: int, characters: int, drawers: int) -> list[list[list[Floats]]]:
    """The way of the pen for the `characters` of an alphabet, by drawer: strokes [P, 2] in units of the paper's side.

    These characters are the alphabet's own choice for that many, so another number gives others.
    """
    drawn = _alphabet(seed, index, characters, characters)
    hand = _hand(characters, drawers, numpy_generator(seed, "strokes/drawers", index))
    points = keep_inside(_draw(drawn, hand), MARGIN)
    return [[list(one[used]) for one in of_character] for of_character, used in zip(points, drawn.used, strict=True)]


def _check(numbers: dict[str, tuple[int, int]]) -> None:
    for name, (value, lowest) in numbers.items():
        if value < lowest:
            raise ValueError(f"{name}={value} but it must be at least {lowest}")


def _alphabet(seed: int, index: int, minimum: int, maximum: int) -> Characters:
    """Three times as many candidates as are needed; a third of them is too tangled, a third too much alike."""
    rng = numpy_generator(seed, "strokes/characters", index)
    count = int(rng.integers(minimum, maximum + 1))
    candidates = invent_characters(invent_style(rng), 3 * count, rng)
    return _distinct(_legible(candidates, 2 * count), count)


def _legible(characters: Characters, count: int) -> Characters:
    """The `count` characters whose strokes run over one another the least: most ink for the way the pen went."""
    points = _draw(characters, _STILL)[:, 0]
    # the pen of the sketch also covers its own width where a stroke ends
    way = np.linalg.norm(np.diff(points, axis=-2), axis=-1).sum(-1) + 2 * SKETCH_PEN
    blackness = 255.0 - _sketch(characters)
    best = np.argsort(-blackness.sum(1) / way.sum(-1, where=characters.used))[:count]
    return _only(characters, np.sort(best))


def _distinct(characters: Characters, count: int) -> Characters:
    """The `count` characters that are left when one of the two most alike is dropped, again and again."""
    sketches = _sketch(characters)
    distances = ((sketches[:, None] - sketches) ** 2).sum(-1)
    distances[np.tril_indices(len(sketches))] = np.inf
    kept = np.ones(len(sketches), dtype=bool)
    for _ in range(len(sketches) - count):
        dropped = np.unravel_index(distances.argmin(), distances.shape)[1]
        distances[dropped], distances[:, dropped] = np.inf, np.inf
        kept[dropped] = False
    return _only(characters, np.flatnonzero(kept))


def _only(characters: Characters, kept: Integers) -> Characters:
    return Characters._make(field[kept] for field in characters)


def _sketch(characters: Characters) -> Floats:
    """Small blurred pictures [C, pixels] of the characters as nobody in particular draws them."""
    pictures = _render(characters, _STILL, np.full(1, SKETCH_PEN), size=14)
    return pictures.reshape(len(pictures), -1).astype(np.float64)


def _hand(characters: int, drawers: int, rng: np.random.Generator) -> Hand:
    """The hands of drawers: part of the affine map is a drawer's own, the rest differs from drawing to drawing."""
    each = (characters, drawers)
    own = rng.normal(0, 0.04, (1, drawers, 2, 2))
    return Hand(
        tremor=_tremor((*each, STROKES), rng),
        turn=rng.normal(0, 0.1, (*each, STROKES, 2, 2)),
        slip=rng.normal(0, 0.05, (*each, STROKES)),
        shift=rng.normal(0, 0.03, (*each, STROKES, 2)),
        roundness=rng.normal(0, 0.1, (*each, STROKES)),
        affine=own + rng.normal(0, 0.045, (*each, 2, 2)),
        place=rng.normal(0, 0.037, (*each, 2)),
    )


def _tremor(each: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Slow bends and a little noise [C, D, S, K, 2], relative to a stroke's length."""
    waves = np.cos(np.pi * np.arange(1, 4)[:, None] * np.linspace(0, 1, CONTROLS))  # [3, K]
    slow = rng.normal(0, 1, (*each, 2, 3)) * [0.045, 0.045, 0.025] @ waves
    return np.moveaxis(slow, -1, -2) + rng.normal(0, 0.006, (*each, CONTROLS, 2))


def _pens(drawers: int, rng: np.random.Generator) -> Floats:
    """Radii in units of the picture's side; Omniglot's pen is about 4.5 of its 105 pixels wide."""
    return rng.uniform(0.0215, 0.0285, drawers)


def _render(characters: Characters, hand: Hand, pens: Floats, size: int) -> npt.NDArray[np.uint8]:
    """Pictures [C, D, size, size]."""
    points = keep_inside(_draw(characters, hand), MARGIN)
    c, d = points.shape[:2]
    pictures = ink(points.reshape(c * d, -1, 2), np.tile(pens, c), size)
    return pictures.reshape(c, d, size, size)


def _draw(characters: Characters, hand: Hand) -> Floats:
    """Points [C, D, S, P, 2] of every drawer's version of every character, in units of the picture's side."""
    middle, sides = bounds(_compose(characters, _STILL))
    ratio = characters.box[:, None] / np.maximum(sides, 1e-3)
    scale = np.clip(ratio, 0, 1.25 * ratio.min(axis=-1, keepdims=True))
    centred = (_compose(characters, hand) - middle[..., None, None, :]) * scale[..., None, None, :]
    slanted = centred @ (np.eye(2) + hand.affine)[..., None, :, :]
    return slanted + (characters.place[:, None] + hand.place)[..., None, None, :]


def _compose(characters: Characters, hand: Hand) -> Floats:
    """The strokes [C, D, S, P, 2] of every drawer, attached to one another, in no particular place or size."""
    controls = characters.controls[:, None]
    length = np.linalg.norm(np.ptp(controls, axis=-2), axis=-1)[..., None, None]
    controls = (controls + hand.tremor * length) @ (np.eye(2) + hand.turn)
    strokes = curve(controls, characters.roundness[:, None] + hand.roundness)
    placed = attach(
        strokes,
        characters.parent,
        characters.parent_at[:, None] + hand.slip,
        characters.own_at[:, None] + hand.slip,
        characters.gap[:, None] + hand.shift,
    )
    used = characters.used[:, None, :, None, None]
    return np.where(used, placed, placed[:, :, :1])
