"""A recipe from start to result, in a run folder that holds everything needed to resume, check and repeat it."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fewstep import recipe as recipes
from fewstep.auditing import audit
from fewstep.autotune import choose_mapping
from fewstep.card import Card
from fewstep.checkpoint import load_checkpoint
from fewstep.core import Meta, map_tensors
from fewstep.durable import replace_file
from fewstep.evaluation import Result, evaluate
from fewstep.journal import (
    AMONG_BEST,
    BEST,
    METRICS,
    among_best_path,
    begin_log,
    best_updates,
    checkpoints,
    put_meta,
    read_metrics,
)
from fewstep.learner import Learner
from fewstep.mapping import Mapping
from fewstep.recipe import Built, Recipe
from fewstep.run import Run, Watch, train_run
from fewstep.training import DivergedError
from fewstep.versions import versions

logger = logging.getLogger(__name__)

FORMAT = 1
RECIPE = "recipe.json"
RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A run folder and what it says: the recipe with everything resolved, and the parts built from it."""

    folder: Path
    recipe: Recipe
    seed: int
    mapping: Mapping
    card: Card
    built: Built
    device: str
    identity: str
    """What every checkpoint of the folder carries: a digest of the recipe as written, and the seed."""


def create(
    recipe: Recipe,
    folder: Path,
    *,
    data_root: Path,
    seed: int = 0,
    device: str = "cpu",
    mapping: Mapping | None = None,
    threads: int | None = None,
) -> Experiment:
    """Check that everything fits, audit the learner, choose a mapping and write `recipe.json`.

    Raises `FileExistsError` for a folder that already holds a run; nothing is written unless all is well.
    """
    refuse_taken(folder)
    built = _on(recipes.build(recipe, data_root, seed), device)
    card = audit(built.learner, built.splits, seed=seed)
    logger.info("audit:\n%s", card)
    if not card.passed:
        failed = "; ".join(check.finding for check in card.checks if check.verdict in ("leak", "wrong"))
        raise ValueError(f"the audit failed, no result of this run would mean what it says: {failed}")
    batch = built.splits.train.sample(seed, "tuning", 0, recipe.training.meta_batch).to(device)
    mapping = mapping or choose_mapping(built.learner, batch, threads)
    logger.info("mapping: %d threads, chunks of %d tasks", mapping.threads, mapping.chunk)
    folder.mkdir(parents=True, exist_ok=True)
    experiment = Experiment(
        folder=folder,
        recipe=recipe,
        seed=seed,
        mapping=mapping,
        card=card,
        built=built,
        device=device,
        identity=recipes.identity_of(recipes.to_json(recipe), seed),
    )
    replace_file(folder / RECIPE, json.dumps(_header(experiment), indent=2).encode())
    begin_log(folder, card)
    return experiment


def refuse_taken(folder: Path) -> None:
    """Raise `FileExistsError` for a folder that holds a run, or anything of one."""
    if (folder / RECIPE).exists():
        raise FileExistsError(
            f"{folder} already holds a run; continue it with `fewstep resume {folder}`, or give --out another name"
        )
    if (folder / METRICS).exists() or checkpoints(folder):
        raise FileExistsError(f"{folder} holds the log or checkpoints of another run; give --out another name")


def load(folder: Path, *, data_root: Path, device: str | None = None) -> Experiment:
    """The experiment of a run folder, its learner at the start of training.

    Raises `ValueError` for a folder without a run, of another format, or whose data are not what they were.
    """
    header = read_header(folder)
    recipe, seed = recipes.from_json(header["recipe"]), header["seed"]
    device = device or header["device"]
    built = _on(recipes.build(recipe, data_root, seed), device)
    if _hashes(built.splits.summary) != _hashes(header["data"]):
        raise ValueError(
            f"the class lists of {folder} were {_hashes(header['data'])}, here they are "
            f"{_hashes(built.splits.summary)}; find the data it was made with"
        )
    return Experiment(
        folder=folder,
        recipe=recipe,
        seed=seed,
        mapping=Mapping(**header["mapping"]),
        card=Card.from_json(header["audit"]),
        built=built,
        device=device,
        identity=recipes.identity_of(header["recipe"], seed),
    )


def train(experiment: Experiment, watch: Watch | None = None) -> Run:
    """Train, from the newest checkpoint if there is one."""
    return train_run(
        experiment.built.learner,
        experiment.built.splits,
        experiment.recipe.training,
        experiment.recipe.evaluation,
        seed=experiment.seed,
        mapping=experiment.mapping,
        identity=experiment.identity,
        about=_header(experiment),
        folder=experiment.folder,
        watch=watch,
    )


def trained(experiment: Experiment) -> Learner:
    """The learner that validation selected, or the newest; read from the folder."""
    candidates = [path for path in (experiment.folder / BEST,) if path.exists()] or checkpoints(experiment.folder)
    if not candidates:
        raise ValueError(
            f"{experiment.folder} holds no checkpoint yet; train it with `fewstep resume {experiment.folder}`"
        )
    checkpoint = load_checkpoint(candidates[-1], identity=experiment.identity)
    put_meta(experiment.built.learner, checkpoint.meta, candidates[-1])
    return experiment.built.learner


def ensemble(experiment: Experiment) -> list[Meta]:
    """What the other members of the evaluation's ensemble learned: the next best checkpoints after the best one."""
    paths = sorted(experiment.folder.glob(AMONG_BEST))
    if experiment.recipe.evaluation.ensemble == 1 or len(paths) < 2:
        return []
    order = best_updates(read_metrics(experiment.folder / METRICS), experiment.built.learner.model.is_classifier)
    others = [path for update in order[1:] if (path := among_best_path(experiment.folder, update)) in paths]
    found = [load_checkpoint(path, identity=experiment.identity).meta for path in others]
    return [map_tensors(lambda tensor: tensor.to(experiment.device), meta) for meta in found]


def finish(experiment: Experiment, run: Run, see: Callable[[int, int], None] = lambda done, blocks: None) -> Result:
    """Test what the run selected and write `result.json`; `see` is told after every block how many are done.

    Raises `DivergedError` where the score is not finite.
    """
    recipe = experiment.recipe
    test, others = experiment.built.splits.test, ensemble(experiment)
    result = evaluate(run.learner, test, recipe.evaluation, mapping=run.mapping, others=others, see=see)
    if not math.isfinite(result.score.mean):
        raise DivergedError(
            f"after {result.steps} inner steps the test error is {result.score.mean}: the inner loop diverges; "
            f"`fewstep evaluate {experiment.folder} --steps N` with fewer steps, or train with a lower inner rate"
        )
    single = evaluate(run.learner, test, recipe.evaluation, mapping=run.mapping) if others else None
    record = {
        "recipe": recipe.name,
        **result.as_json(),
        "updates": run.update,
        "selected_update": run.selected_update,
        "status": run.status,
        "training_seconds": round(run.seconds, 1),
        "training_seed": experiment.seed,
        "measured_order": experiment.card.order,
        **({"single": single.as_json()} if single else {}),
        "versions": versions(),
    }
    record["per_task"] = record.pop("per_task")  # last: it is long, and a reader looks for the rest
    replace_file(experiment.folder / RESULT, json.dumps(record, indent=2).encode())
    return result


def read_header(folder: Path) -> dict[str, Any]:
    """`recipe.json`."""
    path = folder / RECIPE
    if not path.exists():
        raise ValueError(f"{folder} holds no run: there is no {path}")
    try:
        header: dict[str, Any] = json.loads(path.read_text())
        found = header["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, this fewstep reads format {FORMAT}; use the one that wrote it")
    if missing := {"recipe", "seed", "device", "mapping", "data", "audit"} - set(header):
        raise ValueError(f"{path} is damaged: it has no {', '.join(sorted(missing))}")
    try:
        recipes.from_json(header["recipe"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return header


def _header(experiment: Experiment) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "recipe": recipes.to_json(experiment.recipe),
        "seed": experiment.seed,
        "device": experiment.device,
        "mapping": {"threads": experiment.mapping.threads, "chunk": experiment.mapping.chunk},
        "data": experiment.built.splits.summary,
        "audit": experiment.card.as_json(),
        "versions": versions(),
    }


def _hashes(summary: Any) -> dict[str, str | None]:
    return {tasks: part.get("hash") for tasks, part in summary.items()}


def _on(built: Built, device: str) -> Built:
    try:
        return built._replace(learner=built.learner.to(torch.device(device)))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={device!r} cannot be used: {str(error).splitlines()[0]}") from error
