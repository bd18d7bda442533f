"""Run folders as they lie on disk, written from known numbers: no training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewstep import recipes
from fewstep.journal import Row
from fewstep.recipe import Recipe, to_json
from fewstep.record import Record, read_record
from fewstep.run_folder import FORMAT


def train_rows(values: Sequence[float], *, key: str = "accuracy", seconds: float = 0.5) -> list[Row]:
    """One row an update."""
    return [
        {"kind": "train", "update": i, "loss": 1.0, key: value, "seconds": seconds, "elapsed": seconds * i}
        for i, value in enumerate(values, start=1)
    ]


def validation_rows(scores: dict[int, float]) -> list[Row]:
    """A row for every update of `scores`."""
    return [{"kind": "validation", "update": at, "score": score, "ci95": 0.01} for at, score in scores.items()]


def result_of(per_task: Sequence[float] | None, *, updates: int, mean: float | None = None, **fields: Any) -> Any:
    """`result.json` of a test whose scores by task are given, or one that is older than this field."""
    score = sum(per_task) / len(per_task) if per_task else mean
    values = {
        "metric": "accuracy",
        "at_step": [[0.2, 0.01], [score, 0.006]],
        "per_query": [0.9, 0.007],
        "tasks": len(per_task or [0]),
        "steps": 1,
        "transductive": True,
        "line": f"{100 * score:.2f} ± 0.60 % (95 % CI)",
        "per_query_line": "90.00 ± 0.70 % (95 % CI, per query)",
        "updates": updates,
        "selected_update": updates,
        "status": "finished",
        "training_seconds": 0.5 * updates,
    }
    return {**values, **({"per_task": list(per_task)} if per_task else {}), **fields}


def write_record(
    folder: Path, recipe: Recipe | str, rows: Sequence[Row] = (), result: Any = None, *, seed: int = 0
) -> Record:
    """A run folder, read again."""
    recipe = recipes.find(recipe) if isinstance(recipe, str) else recipe
    header = {
        "format": FORMAT,
        "recipe": to_json(recipe),
        "seed": seed,
        "device": "cpu",
        "mapping": {"threads": 2, "chunk": 4},
        "data": {"train": {"hash": "abc", "queries, train and test": [1, 1]}, "test": {"hash": "abc"}},
        "audit": {"order": 2, "checks": []},
        "versions": {"commit": "0123456789ab"},
    }
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps(header))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return read_record(folder)
