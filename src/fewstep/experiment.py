"""A recipe from start to result, in a run folder that holds everything needed to resume, check and repeat it."""

import dataclasses
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewstep import recipe as recipes
from fewstep.auditing import audit
from fewstep.autotune import available_threads, choose_mapping
from fewstep.card import Card
from fewstep.core import Meta, map_tensors
from fewstep.divergence import DivergedError
from fewstep.durable import make_folder, replace_file
from fewstep.evaluation import Result, evaluate
from fewstep.journal import METRICS, begin_log, checkpoints, put_meta
from fewstep.learner import Learner
from fewstep.mapping import Mapping
from fewstep.memory import warn_if_too_large
from fewstep.ranks import ALONE, Ranks
from fewstep.recipe import Built, Recipe
from fewstep.result_file import RESULT
from fewstep.run import Run, Watch, train_run
from fewstep.run_folder import FORMAT, RECIPE, mapping_from, read_header, read_next_best, read_selected
from fewstep.versions import versions

logger = logging.getLogger(__name__)


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
    begun_with: int = 1
    """the number of ranks of the run from its start"""
    ranks: Ranks = ALONE


def create(
    recipe: Recipe,
    folder: Path,
    *,
    data_root: Path,
    seed: int = 0,
    device: str = "cpu",
    mapping: Mapping | None = None,
    threads: int | None = None,
    ranks: Ranks = ALONE,
) -> Experiment:
    """Check that everything fits, audit the learner, choose a mapping and write `recipe.json`.

    Raises `FileExistsError` for a folder that already holds a run; nothing is written unless all is well. The first
    of several `ranks` decides and writes, and all have the same experiment.
    """
    ranks.from_first(lambda: refuse_taken(folder))
    built = _built(recipe, data_root, seed, device, ranks)
    for note in built.splits.told() if ranks.is_first else ():
        logger.warning("note: %s", note)
    card = ranks.from_first(lambda: _passed(audit(built.learner, built.splits, seed=seed)))
    batch = built.splits.train.sample(seed, "tuning", 0, recipe.training.meta_batch).to(built.learner.device)
    mapping = mapping or ranks.from_first(lambda: choose_mapping(built.learner, batch, threads, ranks))
    logger.info("mapping: %s", mapping)
    if ranks.is_first:
        warn_if_too_large(built.learner, batch, mapping)
    experiment = Experiment(
        folder=folder,
        recipe=recipe,
        seed=seed,
        mapping=mapping,
        card=card,
        built=built,
        device=device,
        identity=recipes.identity_of(recipes.to_json(recipe), seed),
        begun_with=ranks.count,
        ranks=ranks,
    )
    if ranks.is_first:
        make_folder(folder)
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


def load(folder: Path, *, data_root: Path, device: str | None = None, ranks: Ranks = ALONE) -> Experiment:
    """The experiment of a run folder, its learner at the start of training.

    Raises `ValueError` for a folder without a run, of another format, or whose data are not what they were.
    """
    header = ranks.from_first(lambda: read_header(folder))
    recipe, seed = recipes.from_run(header["recipe"]), header["seed"]
    device = device or header["device"]
    built = _built(recipe, data_root, seed, device, ranks)
    if _hashes(built.splits.summary) != _hashes(header["data"]):
        raise ValueError(
            f"the class lists of {folder} were {_hashes(header['data'])}, here they are "
            f"{_hashes(built.splits.summary)}; find the data it was made with"
        )
    return Experiment(
        folder=folder,
        recipe=recipe,
        seed=seed,
        mapping=_mapping_here(header["mapping"], ranks),
        card=Card.from_json(header["audit"]),
        built=built,
        device=device,
        identity=recipes.identity_of(header["recipe"], seed),
        begun_with=header.get("ranks", 1),
        ranks=ranks,
    )


def train(experiment: Experiment, watch: Watch | None = None) -> Run:
    """Train, from the newest checkpoint if there is one."""
    if experiment.ranks.count != experiment.begun_with:
        logger.info(
            "begun with %d processes and going on with %d: the sums over tasks round differently from here on",
            *(experiment.begun_with, experiment.ranks.count),
        )
    if experiment.ranks.is_first and not (experiment.folder / METRICS).exists():  # a crash came before it was begun
        begin_log(experiment.folder, experiment.card)
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
        ranks=experiment.ranks,
    )


def trained(experiment: Experiment) -> Learner:
    """The learner that validation selected, or the newest; read from the folder."""
    path, meta = experiment.ranks.from_first(lambda: read_selected(experiment.folder, experiment.identity))
    put_meta(experiment.built.learner, meta, path)
    return experiment.built.learner


def ensemble(experiment: Experiment) -> list[Meta]:
    """What the other members of the evaluation's ensemble learned: the next best checkpoints after the best one."""
    folder, learner = experiment.folder, experiment.built.learner
    if experiment.recipe.evaluation.ensemble == 1:
        return []
    found = experiment.ranks.from_first(
        lambda: read_next_best(folder, experiment.identity, higher_is_better=learner.model.is_classifier)
    )
    return [map_tensors(lambda tensor: tensor.to(learner.device), meta) for meta in found]


def finish(experiment: Experiment, run: Run, see: Callable[[int, int], None] = lambda done, blocks: None) -> Result:
    """Test what the run selected and write `result.json`; `see` is told after every block how many are done.

    Raises `DivergedError` where the score is not finite.
    """
    recipe, ranks = experiment.recipe, experiment.ranks
    test, others = experiment.built.splits.test, ensemble(experiment)
    result = evaluate(run.learner, test, recipe.evaluation, mapping=run.mapping, others=others, ranks=ranks, see=see)
    if not math.isfinite(result.score.mean):
        raise DivergedError(
            f"after {result.steps} inner steps the test error is {result.score.mean}: the inner loop diverges; "
            f"`fewstep evaluate {experiment.folder} --steps N` with fewer steps, or train with a lower inner rate"
        )
    single = evaluate(run.learner, test, recipe.evaluation, mapping=run.mapping, ranks=ranks) if others else None
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
    if ranks.is_first:
        replace_file(experiment.folder / RESULT, json.dumps(record, indent=2).encode())
    return result


def _header(experiment: Experiment) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "recipe": recipes.to_json(experiment.recipe),
        "seed": experiment.seed,
        "device": experiment.device,
        "mapping": dataclasses.asdict(experiment.mapping),
        "ranks": experiment.begun_with,
        "data": experiment.built.splits.summary,
        "audit": experiment.card.as_json(),
        "versions": versions(),
    }


def _hashes(summary: Any) -> dict[str, str | None]:
    return {tasks: part.get("hash") for tasks, part in summary.items()}


def _built(recipe: Recipe, data_root: Path, seed: int, device: str, ranks: Ranks) -> Built:
    built = ranks.one_here_first(lambda: recipes.build(recipe, data_root, seed))
    return built._replace(learner=built.learner.on(ranks.device(device)))


def _passed(card: Card) -> Card:
    """The card of an audit, where no result of the run would be worthless."""
    logger.info("audit:\n%s", card)
    if not card.passed:
        failed = "; ".join(check.finding for check in card.checks if check.verdict in ("leak", "wrong"))
        raise ValueError(f"the audit failed, no result of this run would mean what it says: {failed}")
    return card


def _mapping_here(stored: Any, ranks: Ranks) -> Mapping:
    """The mapping of a run, with no more threads than the ranks of this machine have processors; no result differs."""
    mapping = mapping_from(stored)
    if ranks.count == 1:
        return mapping
    return dataclasses.replace(mapping, threads=min(mapping.threads, available_threads(ranks.local_count)))
