"""The commands that repeat a run and that continue it."""

import shlex
from pathlib import Path
from typing import Any

from fewstep import recipes
from fewstep.experiment import Experiment
from fewstep.recipe import Recipe, to_json

Fields = dict[str, Any]


def resume_command(folder: Path) -> str:
    """What continues the run in `folder`."""
    return shlex.join(["fewstep", "resume", str(folder)])


def train_command(experiment: Experiment) -> str | None:
    """What repeats the run from nothing, overrides included, one a line; None for a recipe that has no name there."""
    options = overrides(experiment.recipe)
    if options is None:
        return None
    mapping = experiment.mapping
    start = ["fewstep", "train", experiment.recipe.name, "--seed", str(experiment.seed)]
    where = ["--device", experiment.device, "--threads", str(mapping.threads), "--chunk", str(mapping.chunk)]
    return " \\\n    ".join(shlex.join(words) for words in (start, *options, where))


def overrides(recipe: Recipe) -> list[list[str]] | None:
    """The options that turn the named recipe into this one; None where no named recipe has the same parts."""
    named = {known.name: known for known in recipes.ALL}.get(recipe.name)
    if named is None:
        return None
    before, after = fields(to_json(named)), fields(to_json(recipe))
    kinds = [{name: value for name, value in values.items() if name.endswith("kind")} for values in (before, after)]
    if kinds[0] != kinds[1] or set(before) != set(after):
        return None
    return [_option(name, value) for name, value in after.items() if value != before[name]]


def fields(values: dict[str, Any], prefix: str = "") -> Fields:
    """Every field of nested values under its dotted name, as the command line spells it: `algorithm.inner-lr`."""
    found: Fields = {}
    for name, value in values.items():
        dotted = prefix + name.replace("_", "-")
        if isinstance(value, dict):
            found |= fields(value, f"{dotted}.")
        else:
            found[dotted] = value
    return found


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        group, _, field = name.rpartition(".")
        return [f"--{group}{'.' if group else ''}{'' if value else 'no-'}{field}"]
    values = value if isinstance(value, list) else [value]
    return [f"--{name}", *(str(item) for item in values)]
