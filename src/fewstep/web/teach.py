"""What the page "Teach me a symbol" asks for: learners, an adaptation, predictions, the model as a file, examples."""

import base64
import binascii
import io
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fewstep.learner_file import shipped
from fewstep.tasks.stroke_drawing import draw_alphabets
from fewstep.trained import read_trained
from fewstep.web.answers import MISSING, NotThereError
from fewstep.web.own_learners import own_learners
from fewstep.web.settings import Settings
from fewstep.web.teaching import Teaching

FEWEST, MOST = 2, 20
MOST_DRAWINGS = 20
MOST_BYTES = 6 * 2**20
DEFAULT = "omniglot-protomaml"
"""The learner that the page opens with: it takes inner steps that one can watch."""


def _is_base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("expected an image file in base64") from error
    return text


ImageFile = Annotated[
    str,
    Field(min_length=4, max_length=4 * MOST_BYTES // 3, pattern=r"^[A-Za-z0-9+/]+={0,2}$"),
    AfterValidator(_is_base64),
]
"""A PNG, JPEG, WebP, GIF or BMP in base64."""
ModelName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w-]+$")]


class Strict(BaseModel):
    """A request: what is not asked for is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Symbol(Strict):
    """A symbol and its drawings."""

    name: str = Field(min_length=1, max_length=60)
    images: list[ImageFile] = Field(min_length=1, max_length=MOST_DRAWINGS)


class Lesson(Strict):
    """What is to be learned, and by which learner."""

    learner: str = Field(default=DEFAULT, min_length=1, max_length=400)
    symbols: list[Symbol] = Field(min_length=FEWEST, max_length=MOST)


class Question(Strict):
    """An image to name, by a model that was taught."""

    model: ModelName
    image: ImageFile


class LearnerChoice(BaseModel):
    """A learner that can be taught symbols; `ways` where it takes so many and no other number."""

    name: str
    algorithm: str
    steps: int
    ways: int | None
    accuracy: str


class Choice(BaseModel):
    """The learners of the package, then the user's own."""

    default: str
    learners: list[LearnerChoice]


class Taught(BaseModel):
    """The name of the adapted model, its symbols in the order of the probabilities, and what else it is told."""

    model: str
    symbols: list[str]
    steps: int
    note: str
    accuracy: str


class Named(BaseModel):
    """Probabilities of the symbols after 0, 1, ... inner steps; the last are the model's.

    `novelty` in [0, 1]: as near to some drawing as this image lies that share of images of other symbols.
    """

    steps: list[list[float]]
    novelty: float | None


class Example(BaseModel):
    """A drawn symbol, once to teach and once to ask, as PNG in base64."""

    name: str
    image: str
    again: str


def router(settings: Settings) -> APIRouter:
    """The addresses below `/api/teach`."""
    teaching = Teaching()
    answers = APIRouter(prefix="/api/teach", tags=["teach"])

    @answers.get("/learners")
    def learners() -> Choice:
        return Choice(default=DEFAULT, learners=[*_of_package(), *_own(settings.runs)])

    @answers.post("/adapt", responses=MISSING)
    def adapt(lesson: Lesson) -> Taught:
        names = [symbol.name for symbol in lesson.symbols]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two symbols are called '{twice[0]}': give each a name of its own")
        drawings = [[base64.b64decode(image) for image in symbol.images] for symbol in lesson.symbols]
        name, taught = teaching.teach(_source(lesson.learner, settings.runs), names, drawings)
        adapted = taught.adapted
        return Taught(
            model=name,
            symbols=list(adapted.classes),
            steps=len(taught.path) - 1,
            note=adapted.note,
            accuracy=adapted.accuracy,
        )

    @answers.post("/ask", responses=MISSING)
    def ask(question: Question) -> Named:
        return Named(**teaching.ask(question.model, base64.b64decode(question.image))._asdict())

    @answers.get("/model", responses={**MISSING, 200: {"content": {"application/octet-stream": {}}}})
    def model(model: Annotated[ModelName, Query()]) -> Response:
        headers = {"content-disposition": 'attachment; filename="symbols.fewstep"'}
        return Response(teaching.saved(model), media_type="application/octet-stream", headers=headers)

    @answers.get("/examples")
    def examples(
        count: Annotated[int, Query(ge=1, le=MOST)] = 5, page: Annotated[int, Query(ge=0, lt=1000)] = 0
    ) -> list[Example]:
        return _examples(page)[:count]

    return answers


@lru_cache
def _of_package() -> tuple[LearnerChoice, ...]:
    choices = []
    for name in sorted(shipped(), key=lambda name: name != DEFAULT):
        trained = read_trained(name)
        ways = None if trained.recipe.algorithm.makes_head else trained.learner.model.ways
        algorithm = type(trained.recipe.algorithm).__name__
        choices.append(
            LearnerChoice(name=name, algorithm=algorithm, steps=trained.steps, ways=ways, accuracy=trained.accuracy)
        )
    return tuple(choices)


def _own(folder: Path) -> list[LearnerChoice]:
    """Those that were trained on images."""
    return [
        LearnerChoice(
            name=name,
            algorithm=type(recipe.algorithm).__name__,
            steps=recipe.evaluation.steps,
            ways=None if recipe.algorithm.makes_head else getattr(recipe.train_tasks, "ways", None),
            accuracy="",
        )
        for name, (_, recipe) in own_learners(folder).items()
        if getattr(recipe.test_tasks, "preprocessing", None) is not None
    ]


def _source(name: str, folder: Path) -> str | Path:
    """A name of the package, or where a learner of the user's lies."""
    if name in shipped():
        return name
    found = own_learners(folder).get(name)
    if found is None:
        raise NotThereError(f"there is no learner called '{name}' in the package or in {folder}")
    return found[0]


@lru_cache(maxsize=8)
def _examples(page: int) -> list[Example]:
    """Symbols of an invented alphabet that no learner was trained on, each drawn by two hands."""
    drawn = draw_alphabets(
        seed=1, first=page, alphabets=1, drawers=2, size=105, minimum_characters=MOST, maximum_characters=MOST
    )
    return [
        Example(name=f"symbol {i}", image=_png(images[0]), again=_png(images[1]))
        for i, images in enumerate(drawn.images, start=1)
    ]


def _png(pixels: object) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")  # type: ignore[arg-type]  # uint8 [H, W]
    return base64.b64encode(file.getvalue()).decode()
