"""What models adapted from a run score on its own test tasks, measured once and kept in the run folder."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fewstep import experiment
from fewstep import recipe as recipes
from fewstep.durable import replace_file
from fewstep.evaluation import evaluate
from fewstep.recipe import Recipe
from fewstep.result_file import read_result
from fewstep.run_folder import read_header, read_selected
from fewstep.tasks import omniglot_archives
from fewstep.tasks.omniglot import Omniglot

KEPT = "adapted.json"
TASKS = 300


class Accuracy(NamedTuple):
    """A result line, empty where it could not be measured, and then the reason."""

    line: str
    why_not: str = ""


def accuracy_of(
    folder: Path, data_root: Path, steps: int | None = None, say: Callable[[str], object] = lambda text: None
) -> Accuracy:
    """The score of the run's learner as `adapt` uses it: after `steps`, each query predicted by itself.

    Under the policy `transductive` that is with the support set's statistics, measured on 300 test tasks unless
    `adapted.json` has it; else, and where the net has no batch norms, the run's own result holds it. Nothing is
    downloaded for it. `say` is told before a measurement, which takes seconds to a minute.

    Raises `ValueError` for a folder without a run.
    """
    header = read_header(folder)
    recipe = recipes.from_run(header["recipe"])
    steps = recipe.evaluation.steps if steps is None else steps
    path, _ = read_selected(folder, recipes.identity_of(header["recipe"], header["seed"]))
    if steps == recipe.evaluation.steps and (recipe.norm != "transductive" or _queries_were_alone(folder)):
        return _of_result(folder)
    key = {"checkpoint": path.name, "written": path.stat().st_mtime_ns, "steps": steps}
    kept = _kept(folder)
    if kept.get("key") == key:
        return Accuracy(str(kept["line"]))
    if _must_download(recipe, data_root):
        return Accuracy("", f"the data of {folder} are not in {data_root}")
    say(f"measuring once, on {TASKS} test tasks, how accurate models adapted from {folder} are\n")
    try:
        line = _measure(folder, recipe, data_root, steps)
    except (ValueError, OSError) as error:
        return Accuracy("", str(error))
    with contextlib.suppress(OSError):  # a folder that cannot be written to: measured again next time
        replace_file(folder / KEPT, json.dumps({"key": key, "line": line}).encode())
    return Accuracy(line)


def _of_result(folder: Path) -> Accuracy:
    if (result := read_result(folder)) is None:
        return Accuracy("", f"{folder} has not been tested yet; `fewstep resume {folder}` does it")
    return Accuracy(result.get("single", result)["line"])


def _queries_were_alone(folder: Path) -> bool:
    """Whether the run was tested with no query's prediction depending on the others, whatever its policy's name."""
    result = read_result(folder)
    return result is not None and not result["transductive"]


def _measure(folder: Path, recipe: Recipe, data_root: Path, steps: int) -> str:
    loaded = experiment.load(folder, data_root=data_root, device="cpu")
    learner = experiment.trained(loaded).each_alone()
    evaluation = dataclasses.replace(recipe.evaluation, tasks=TASKS, steps=steps, ensemble=1)
    return str(evaluate(learner, loaded.built.splits.test, evaluation, mapping=loaded.mapping))


def _kept(folder: Path) -> dict[str, object]:
    try:
        kept = json.loads((folder / KEPT).read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _must_download(recipe: Recipe, data_root: Path) -> bool:
    is_omniglot = any(isinstance(tasks, Omniglot) for tasks in (recipe.train_tasks, recipe.test_tasks))
    return is_omniglot and not omniglot_archives.is_here(data_root / "omniglot")
