"""What a run has left in its folder: what `recipe.json` says, and what was learned."""

from pathlib import Path
from typing import Any, Literal, TypedDict

from fewstep import recipe as recipes
from fewstep.checkpoint import load_checkpoint
from fewstep.core import Meta
from fewstep.formats import check_format
from fewstep.journal import AMONG_BEST, BEST, METRICS, among_best_path, best_updates, checkpoints, read_metrics
from fewstep.json_file import read_json
from fewstep.mapping import Mapping

FORMAT = 1
"""Of the folder as a whole; `fewstep.formats` says when it is raised. Checkpoints have one of their own."""
RECIPE = "recipe.json"


class _Formatted(TypedDict):
    format: Any


class _Check(TypedDict):
    name: str
    verdict: Literal["ok", "note", "wrong", "leak"]
    finding: str


class _Audit(TypedDict):
    order: Literal[1, 2] | None
    checks: list[_Check]


class _Data(TypedDict):
    train: dict[str, Any]
    test: dict[str, Any]


class _Mapping(TypedDict):
    threads: int
    chunk: int


class _Always(TypedDict):
    recipe: dict[str, Any]
    seed: int
    device: str
    mapping: _Mapping
    data: _Data
    audit: _Audit
    versions: dict[str, str | None]


class _Header(_Always, total=False):
    """What `recipe.json` holds."""

    ranks: int


def read_header(folder: Path) -> dict[str, Any]:
    """`recipe.json`.

    Raises `ValueError` for a folder without one, and for one that is damaged or of another format.
    """
    path = folder / RECIPE
    if not path.exists():
        raise ValueError(f"{folder} holds no run: there is no {path}")
    check_format(path, read_json(path, _Formatted)["format"], FORMAT, "run folders")
    header: dict[str, Any] = read_json(path, _Header)
    try:
        recipes.shown_of_run(header["recipe"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return header


def mapping_from(stored: Any) -> Mapping:
    """The mapping that a run was begun with.

    Raises `ValueError` where this version has no such mapping.
    """
    try:
        return Mapping(**stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the run's mapping is {stored!r}, which this fewstep does not know ({error})") from error


def read_selected(folder: Path, identity: str) -> tuple[Path, Meta]:
    """What was learned by the update that validation selected, or the newest, and the file that says so.

    Raises `ValueError` where nothing has been trained yet.
    """
    candidates = [path for path in (folder / BEST,) if path.exists()] or checkpoints(folder)
    if not candidates:
        raise ValueError(f"{folder} holds no checkpoint yet; train it with `fewstep resume {folder}`")
    return candidates[-1], load_checkpoint(candidates[-1], identity=identity).meta


def read_next_best(folder: Path, identity: str, *, higher_is_better: bool) -> list[Meta]:
    """What the next best checkpoints after the best one learned, best first, where an ensemble keeps several."""
    paths = sorted(folder.glob(AMONG_BEST))
    if len(paths) < 2:
        return []
    order = best_updates(read_metrics(folder / METRICS), higher_is_better)
    others = [path for update in order[1:] if (path := among_best_path(folder, update)) in paths]
    return [load_checkpoint(path, identity=identity).meta for path in others]
