"""A study: several recipes over several seeds in one folder, beside what is stated of them elsewhere."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from fewstep import recipes
from fewstep.durable import make_folder, replace_file
from fewstep.json_file import read_json
from fewstep.recipe import Recipe
from fewstep.record import Record, records_in

ERRORS = "errors.json"
NEARLY = 0.98
"""Of a time that is spent: the log of a run starts a moment after its clock."""

Measure = Literal["updates to the level", "spread"]


class Stated(NamedTuple):
    """An accuracy stated elsewhere: `right` of `of` predictions; `also` is what else is stated."""

    right: int
    of: int
    also: str = ""

    @property
    def value(self) -> float:
        """The accuracy in [0, 1]."""
        return self.right / self.of

    @property
    def half_width(self) -> float:
        """Of its binomial 95 % interval, 1.96 √(p (1 − p) / n): the predictions taken as independent."""
        return 1.96 * math.sqrt(self.value * (1 - self.value) / self.of)


@dataclass(frozen=True, kw_only=True)
class System:
    """A recipe in a study: what it is called there, what is stated of it elsewhere, how it works."""

    recipe: str
    label: str
    stated: Stated | None = None
    remark: str = ""
    """how ours departs from the one stated, or what a reader must know of it"""
    pseudocode: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim made elsewhere that a study tests: the `measure` of `larger` is larger than that of `smaller`."""

    text: str
    measure: Measure
    larger: str
    smaller: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is run, and what its page says beyond numbers. Recipes are named, and looked up when they are needed."""

    name: str
    title: str
    introduction: tuple[str, ...] = ()
    """paragraphs"""
    systems: tuple[System, ...]
    pair: tuple[str, ...] = ()
    """recipes whose training is drawn together, on its own"""
    claims: tuple[Claim, ...] = ()

    def system(self, recipe: str) -> System:
        """The system of a recipe of this study."""
        return next(system for system in self.systems if system.recipe == recipe)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a study."""

    recipe: Recipe
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """`RECIPE-s0`."""
        return f"{self.recipe.name}-s{self.seed}"


def study_of(names: Sequence[str]) -> Study:
    """A study of any recipes; the first is what the others are compared with."""
    systems = tuple(System(recipe=recipes.find(name).name, label=name) for name in dict.fromkeys(names))
    return Study(name="study", title="A study of " + ", ".join(system.label for system in systems), systems=systems)


def jobs_of(
    study: Study,
    folder: Path,
    *,
    seeds: int,
    updates: int | None = None,
    find: Callable[[str], Recipe] = recipes.find,
) -> list[Job]:
    """Every run of a study, one seed after another: half of them are then a study too.

    A run of that recipe and seed that lies in `folder` already is taken as it is, whatever its folder is called.
    """
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: expected 1 or more")
    there = {(record.recipe.name, record.seed): record for record in records_in(folder)}
    jobs: list[Job] = []
    for seed in range(seeds):
        for system in study.systems:
            found = there.get((system.recipe, seed))
            recipe = found.recipe if found else shortened(find(system.recipe), updates)
            job = Job(recipe=recipe, seed=seed, folder=folder / f"{recipe.name}-s{seed}")
            jobs.append(dataclasses.replace(job, folder=found.folder) if found else job)
    return jobs


def shortened(recipe: Recipe, updates: int | None) -> Recipe:
    """The recipe with another number of outer updates, if one is given."""
    if updates is None:
        return recipe
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, updates=updates))


def is_done(record: Record, minutes: float | None) -> bool:
    """Whether nothing is left to do: tested as it is, and trained to the end or as long as `minutes` allow."""
    if record.result is None or not record.is_tested_as_it_is:
        return False
    spent = minutes is not None and record.seconds >= NEARLY * 60 * minutes
    return record.updates >= record.planned or spent


def records_by_system(study: Study, folder: Path) -> dict[str, list[Record]]:
    """The runs in `folder` of every recipe of the study, by seed; none for one that was not begun."""
    found = records_in(folder)
    return {
        system.recipe: sorted((r for r in found if r.recipe.name == system.recipe), key=lambda record: record.seed)
        for system in study.systems
    }


def read_errors(folder: Path) -> dict[str, str]:
    """What stopped runs of the study in `folder`, by the names of the runs.

    Raises `ValueError` where the file is damaged.
    """
    path = folder / ERRORS
    errors: dict[str, str] = read_json(path, dict[str, str]) if path.exists() else {}
    return errors


def note_error(folder: Path, name: str, error: str | None) -> None:
    """Keep what stopped a run for the page of the study; None once it is past."""
    errors = read_errors(folder)
    if errors.pop(name, None) is None and error is None:
        return
    if error is not None:
        errors[name] = error
    make_folder(folder)
    replace_file(folder / ERRORS, json.dumps(errors, indent=2).encode())
