"""The commands that repeat a run and that continue it."""

import shlex
from pathlib import Path
from typing import Any

from fewstep import recipes
from fewstep.experiment import Experiment
from fewstep.recipe import Recipe, to_json

Fields = dict[str, Any]

KINDS = ("net", "algorithm.optimizer")
"""The parts of a recipe that the command line can exchange for another kind."""


def resume_command(folder: Path, ranks: int = 1) -> str:
    """What continues the run in `folder`, with as many processes."""
    return shlex.join([*_launch(ranks), "resume", str(folder)])


def train_command(experiment: Experiment) -> str | None:
    """What repeats the run from nothing, overrides included, one a line; None for a recipe that has no name there."""
    options = overrides(experiment.recipe)
    if options is None:
        return None
    mapping = experiment.mapping
    start = [*_launch(experiment.begun_with), "train", experiment.recipe.name, "--seed", str(experiment.seed)]
    where = ["--device", experiment.device, "--threads", str(mapping.threads), "--chunk", str(mapping.chunk)]
    how = [] if mapping.execution == "eager" else ["--execution", mapping.execution]
    return " \\\n    ".join(shlex.join(words) for words in (start, *options, [*where, *how]))


def _launch(ranks: int) -> list[str]:
    """The start of a command: on one machine, however many the ranks were spread over."""
    return ["fewstep"] if ranks == 1 else ["torchrun", "--standalone", "--nproc-per-node", str(ranks), "-m", "fewstep"]


def overrides(recipe: Recipe) -> list[list[str]] | None:
    """The options that turn the named recipe into this one; None where options cannot."""
    named = {known.name: known for known in recipes.ALL}.get(recipe.name)
    if named is None:
        return None
    before, after = fields(to_json(named)), fields(to_json(recipe))
    other = [name for name in KINDS if before.get(f"{name}.kind") != after.get(f"{name}.kind")]
    options = [option for name in other for option in _other_kind(name, after)]
    rest = {name: value for name, value in after.items() if not name.startswith(tuple(f"{part}." for part in other))}
    changed = {name: value for name, value in rest.items() if before.get(name, value) != value and name != "about"}
    if any(name.endswith("kind") for name in changed) or not set(rest) <= set(before):
        return None
    return [*options, *(_option(name, value) for name, value in changed.items())]


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


def _other_kind(part: str, values: Fields) -> list[list[str]]:
    """`--net mlp` with all its fields, or `--net my_module:Net`."""
    own = {name: value for name, value in values.items() if name.startswith(f"{part}.")}
    kind = own.pop(f"{part}.kind")
    if kind == "Imported":
        return [[f"--{part}", own[f"{part}.path"]]]
    return [[f"--{part}", kind.lower()], *(_option(name, value) for name, value in own.items())]


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        group, _, field = name.rpartition(".")
        return [f"--{group}{'.' if group else ''}{'' if value else 'no-'}{field}"]
    return [f"--{name}", *_words(value)]


def _words(value: Any) -> list[str]:
    """A value as the command line takes it: lists, and lists of pairs, word by word."""
    return [word for item in value for word in _words(item)] if isinstance(value, list) else [str(value)]
