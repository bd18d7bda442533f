"""What the playground answers about runs."""

from typing import Literal

from pydantic import BaseModel

from fewstep.web.run_log import Curve, Finding, Validation

Status = Literal["training", "finished", "untested", "stopped", "diverged", "damaged"]
Metric = Literal["accuracy", "mse"]


class Row(BaseModel):
    """A run in the list."""

    name: str
    status: Status
    recipe: str = ""
    algorithm: str = ""
    updates: int = 0
    planned: int = 0
    result: str = ""
    """the result line; empty before the test"""
    validation: str = ""
    """the newest"""
    problem: str = ""
    """why a damaged one cannot be shown, or what made one diverge"""
    changed: float
    """seconds since the epoch"""


class Step(BaseModel):
    """The score after some inner steps; `share` of a full bar."""

    step: int
    text: str
    share: float


class Detail(BaseModel):
    """All that the page shows of a run but its curves."""

    row: Row
    about: str
    warning: str
    """for whoever must not take this for a finished run"""
    lines: list[tuple[str, str]]
    """value and conditions of the result lines"""
    steps: list[Step]
    facts: dict[str, str]
    audit: list[Finding]
    fields: dict[str, str]
    """the whole recipe under the names of the command line"""
    commands: dict[str, str]
    files: list[str]


class Curves(BaseModel):
    """The curves of a run; `metric` is accuracy in [0, 1], or mse."""

    name: str
    metric: Metric
    loss: Curve
    score: Curve
    validation: list[Validation]
    chosen: int | None
    """the update that validation chose"""
    updates: int
    planned: int
    seconds: float
    """of training by now"""
    training: bool
