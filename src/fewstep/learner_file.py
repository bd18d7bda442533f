"""A learner as one small file, without the data and the folder it was trained in; some come with the package."""

from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from fewstep import recipe as recipes
from fewstep.conforming import conforming
from fewstep.core import Meta
from fewstep.recipe import Recipe
from fewstep.tensor_file import by_path, meta_of, read_tensors, write_tensors
from fewstep.versions import versions

SUFFIX = ".fewstep-learner"
MODELS = Path(str(resources.files("fewstep"))) / "models"


class _Header(TypedDict):
    recipe: dict[str, Any]
    accuracy: str


class Packed(NamedTuple):
    """What a learner file holds: the recipe, what was learned, and what `adapted` models scored on its test tasks."""

    recipe: Recipe
    meta: Meta
    accuracy: str


def write_learner(path: Path, packed: Packed) -> None:
    """Write a learner file, whole or not at all.

    Raises `OSError` where that fails, and `ValueError` for an algorithm of one's own.
    """
    recipe = recipes.to_json(packed.recipe)
    if ":" in (kind := recipe["algorithm"]["kind"]):
        raise ValueError(
            f"the algorithm {kind} is code of your own, and no code is imported on the word of a learner file; "
            f"adapt the run folder itself"
        )
    header = {"recipe": recipe, "accuracy": packed.accuracy, "versions": versions()}
    write_tensors(path, "learner", header, by_path(packed.meta))


def read_learner(path: Path) -> Packed:
    """What `write_learner` wrote.

    Raises `ValueError` for a file that is missing, damaged, foreign, of another format or of an unknown recipe.
    """
    contents = read_tensors(path, "learner")
    try:
        header = conforming(contents.header, _Header, "its JSON")
        return Packed(recipes.from_json(header["recipe"]), meta_of(contents.tensors), header["accuracy"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or of another fewstep: {error}") from error


def shipped() -> dict[str, Path]:
    """The learner files that come with the package, by name: those for images."""
    return _in(MODELS)


def shipped_for_values() -> dict[str, Path]:
    """The learner files that come with the package, by name: those for points of a curve."""
    return _in(MODELS / "values")


def _in(folder: Path) -> dict[str, Path]:
    return dict(sorted((path.name.removesuffix(SUFFIX), path) for path in folder.glob(f"*{SUFFIX}")))
