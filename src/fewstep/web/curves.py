"""What the page "Bend the curve" asks for: curves that bend to points, sinusoids to draw points from, own learners."""

import threading
from functools import cache
from pathlib import Path
from typing import Annotated

import torch
from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from torch import Tensor

from fewstep.core import Examples
from fewstep.learner import Learner
from fewstep.trained import read_trained, untrained
from fewstep.web.answers import MISSING, NotThereError
from fewstep.web.bending import Bent, bend, draw_sinusoid, places, was_trained_on_points
from fewstep.web.own_learners import own_learners
from fewstep.web.settings import Settings

MOST_STEPS = 32
MOST_POINTS = 50
DIGITS = 4
"""Behind the point, of what is drawn and shown."""


def _whole(value: object) -> object:
    """9.0 is an integer of JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Point(BaseModel):
    """A place that a curve is to go through."""

    model_config = ConfigDict(extra="forbid", strict=True)
    x: float = Field(ge=-5, le=5)
    y: float = Field(ge=-10, le=10)


class Asked(BaseModel):
    """What to bend to, how far, and which learner besides those of the package."""

    model_config = ConfigDict(extra="forbid", strict=True)
    points: list[Point] = Field(min_length=1, max_length=MOST_POINTS)
    steps: Annotated[int, BeforeValidator(_whole)] = Field(default=MOST_STEPS, ge=0, le=MOST_STEPS)
    own: str | None = Field(default=None, max_length=255)


class Curve(BaseModel):
    """A learner's curve after 0, 1, ... inner steps, and its mean squared error on the points.

    Both are cut before the first step whose curve is not finite.
    """

    learner: str
    curves: list[list[float]]
    losses: list[float]


class Answer(BaseModel):
    """The curves of every learner over the same `x`."""

    x: list[float]
    learners: list[Curve]


class DrawnSinusoid(BaseModel):
    """Points of a sinusoid, and its values over the same `x` as the curves."""

    points: list[Point]
    truth: list[float]


class Choice(BaseModel):
    """What bends: `figures` of the package's learners, each what it scored in its test, and the user's own, by name."""

    figures: dict[str, str]
    own: list[str]


def router(settings: Settings) -> APIRouter:
    """The addresses below `/api/curves`."""
    answers = APIRouter(prefix="/api/curves", tags=["curves"])
    turn = threading.Lock()  # a net's forward is not thread-safe

    @answers.get("/learners")
    def learners() -> Choice:
        return Choice(figures=_figures(), own=sorted(_own(settings.runs)))

    @answers.post("/bend", responses=MISSING)
    def bent(asked: Asked) -> Answer:
        bending = dict(_of_package())
        if asked.own is not None:
            path = _own(settings.runs).get(asked.own)
            if path is None:
                raise NotThereError(f"there is no learner for points called '{asked.own}' in {settings.runs}")
            bending["own"] = read_trained(path).learner.each_alone().for_evaluation()
        points = Examples(_column([point.x for point in asked.points]), _column([point.y for point in asked.points]))
        with turn:
            curves = [_curve(name, bend(learner, points, asked.steps)) for name, learner in bending.items()]
        return Answer(x=_rounded(places().squeeze(-1)), learners=curves)

    @answers.get("/sinusoid")
    def sinusoid(
        seed: Annotated[int, Query(ge=0, lt=2**31)],
        count: Annotated[int, Query(ge=1, le=MOST_POINTS)] = 5,
    ) -> DrawnSinusoid:
        drawn = draw_sinusoid(seed, count)
        pairs = zip(_rounded(drawn.points.x.squeeze(-1)), _rounded(drawn.points.y.squeeze(-1)), strict=True)
        return DrawnSinusoid(points=[Point(x=x, y=y) for x, y in pairs], truth=_rounded(drawn.truth))

    return answers


def _own(folder: Path) -> dict[str, Path]:
    """Where the user's own learners for points lie, by name."""
    return {name: path for name, (path, recipe) in own_learners(folder).items() if was_trained_on_points(recipe)}


@cache
def _of_package() -> dict[str, Learner]:
    """MAML's and Reptile's learners, and the net with which MAML's training began."""
    maml = read_trained("sinusoid-maml")
    reptile = read_trained("sinusoid-reptile")
    return {"maml": maml.learner, "reptile": reptile.learner, "untrained": untrained(maml.recipe)}


def _figures() -> dict[str, str]:
    return {name: read_trained(f"sinusoid-{name}").accuracy for name in ("maml", "reptile")}


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None]


def _curve(name: str, bent: Bent) -> Curve:
    curves, losses = (tensor.round(decimals=DIGITS).tolist() for tensor in bent)
    return Curve(learner=name, curves=curves, losses=losses)


def _rounded(values: Tensor) -> list[float]:
    rounded: list[float] = values.double().round(decimals=DIGITS).tolist()
    return rounded
