"""What the page "Teach me a symbol" asks for: learners, examples, a lesson, and what drawings are after it."""

import time
from functools import cache
from typing import Annotated
from uuid import uuid4

import numpy as np
import torch
from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from fewstep.core import Examples
from fewstep.tasks.preprocessing import as_floats
from fewstep.tasks.stroke_drawing import trace_alphabet
from fewstep.trained import Trained, read_trained
from fewstep.web.answers import MISSING, NotThereError
from fewstep.web.drawings import Drawing, pixels_of
from fewstep.web.image_learners import MOST_WAYS, choice_of, choices
from fewstep.web.lessons import Lesson, Lessons
from fewstep.web.settings import Settings

MOST_DRAWINGS = 5
ALPHABETS = 40
DRAWERS = 4
SEED = 1
"""Of drawings that no learner was trained on: the data set `strokes` has those of seed 0."""
MODEL: dict[int | str, dict[str, object]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}

Name = Annotated[str, Field(min_length=1, max_length=40)]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Id = Annotated[str, InPath(pattern="^[0-9a-f]{32}$", description="a lesson, as the answer to teaching names it")]


class LearnerChoice(BaseModel):
    """A learner that can be taught; `ways` symbols exactly, or null: any number. `accuracy` is empty if unknown."""

    name: str
    about: str
    ways: int | None
    steps: int
    accuracy: str


class Teaching(BaseModel):
    """The drawings of every symbol, by its name, and the learner that is to tell them apart."""

    model_config = ConfigDict(extra="forbid", strict=True)
    learner: Annotated[str, Field(min_length=1, max_length=400)]
    symbols: Annotated[
        dict[Name, Annotated[list[Drawing], Field(min_length=1, max_length=MOST_DRAWINGS)]],
        Field(min_length=2, max_length=MOST_WAYS),
    ]


class StepTaken(BaseModel):
    """So many inner steps, and the share of the taught drawings that are then named rightly."""

    step: int
    accuracy: float


class Taught(BaseModel):
    """A lesson: its `id` is what drawings are asked about."""

    id: str
    classes: list[str]
    steps: list[StepTaken]
    milliseconds: float


class Asked(BaseModel):
    """A drawing to name."""

    model_config = ConfigDict(extra="forbid", strict=True)
    drawing: Drawing


class Named(BaseModel):
    """Probabilities of the classes after each step of the lesson; `novelty` is null where it is not measured (yet)."""

    probabilities: list[list[float]]
    novelty: float | None


class Measured(BaseModel):
    """How many left-out examples novelty is measured by; 0: two symbols or one are too few."""

    examples: int


class Traced(BaseModel):
    """Ways of the pen: strokes of points x, y in units of the paper's side, by character and drawer."""

    characters: list[list[list[list[Point]]]]


def router(settings: Settings) -> APIRouter:
    """The addresses below `/api/teach`."""
    lessons = Lessons()
    answers = APIRouter(prefix="/api/teach", tags=["teach"])

    def lesson_of(name: str) -> Lesson:
        found = lessons.find(name)
        if found is None:
            raise NotThereError("this lesson is forgotten: teach the symbols again")
        return found

    @answers.get("/learners")
    def list_learners() -> list[LearnerChoice]:
        return [
            LearnerChoice(
                name=name,
                about=choice.recipe.about,
                ways=choice.ways,
                steps=choice.recipe.evaluation.steps,
                accuracy=choice.accuracy,
            )
            for name, choice in choices(settings.runs).items()
        ]

    @answers.get("/examples")
    def draw_examples(
        alphabet: Annotated[int, Query(ge=0, lt=ALPHABETS)] = 0, count: Annotated[int, Query(ge=1, le=MOST_WAYS)] = 5
    ) -> Traced:
        return _traced(alphabet, count)

    @answers.post("/lessons", status_code=201, responses=MISSING)
    def teach(teaching: Teaching) -> Taught:
        choice = choice_of(settings.runs, teaching.learner)
        if choice.ways not in (None, len(teaching.symbols)):
            raise ValueError(
                f"'{teaching.learner}' tells {choice.ways} symbols apart, no more and no fewer, and these are "
                f"{len(teaching.symbols)}; teach {choice.ways}, or choose another model"
            )
        began = time.perf_counter()
        trained = read_trained(choice.source)
        lesson = Lesson(trained, _support(trained, teaching.symbols), tuple(teaching.symbols))
        name = uuid4().hex
        lessons.keep(name, lesson)
        steps = [StepTaken(step=stage.step, accuracy=stage.accuracy) for stage in lesson.stages]
        milliseconds = 1000 * (time.perf_counter() - began)
        return Taught(id=name, classes=list(lesson.classes), steps=steps, milliseconds=milliseconds)

    @answers.post("/lessons/{lesson}/guess", responses=MISSING)
    def guess(lesson: Id, asked: Asked) -> Named:
        found = lesson_of(lesson)
        probabilities, novelty = found.guess(_inputs(found.trained, [asked.drawing]))
        return Named(probabilities=probabilities, novelty=novelty)

    @answers.post("/lessons/{lesson}/novelty", responses=MISSING)
    def measure_novelty(lesson: Id) -> Measured:
        return Measured(examples=lesson_of(lesson).novelty_examples())

    @answers.get("/lessons/{lesson}/model", responses={**MISSING, **MODEL}, response_class=Response)
    def download(lesson: Id) -> Response:
        return Response(
            lesson_of(lesson).file(),
            media_type="application/octet-stream",
            headers={"content-disposition": 'attachment; filename="symbols.fewstep"'},
        )

    return answers


def _support(trained: Trained, symbols: dict[str, list[str]]) -> Examples:
    counts = torch.tensor([len(drawings) for drawings in symbols.values()])
    x = _inputs(trained, [drawing for drawings in symbols.values() for drawing in drawings])
    return Examples(x, torch.arange(len(counts)).repeat_interleave(counts))


def _inputs(trained: Trained, drawings: list[str]) -> torch.Tensor:
    preprocessing = trained.preprocessing
    assert preprocessing is not None  # no other learners are choices
    pixels = np.stack([pixels_of(drawing, preprocessing) for drawing in drawings])
    return as_floats(pixels, inverted=preprocessing.inverted)


@cache
def _traced(alphabet: int, count: int) -> Traced:
    traced = trace_alphabet(SEED, alphabet, count, DRAWERS)
    return Traced.model_validate(
        {"characters": [[[stroke.round(4).tolist() for stroke in one] for one in drawn] for drawn in traced]}
    )
