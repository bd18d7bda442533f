"""The user's own learners below one folder: runs that have learned something, and learner files."""

from pathlib import Path

from fewstep import recipe as recipes
from fewstep.journal import BEST, checkpoints
from fewstep.learner_file import SUFFIX, read_learner
from fewstep.recipe import Recipe
from fewstep.run_folder import read_header
from fewstep.web.run_folders import RunFolders


def own_learners(folder: Path) -> dict[str, tuple[Path, Recipe]]:
    """By name: where each lies, and its recipe; what is damaged or has learned nothing yet is passed over."""
    found = {}
    for name, path in {**RunFolders(folder).by_name(), **_files(folder)}.items():
        try:
            recipe = _recipe(path)
        except (ValueError, OSError):
            continue
        if recipe is not None:
            found[name] = (path, recipe)
    return found


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    real = folder.resolve()
    return {path.name: path for path in sorted(folder.glob(f"*{SUFFIX}")) if path.resolve().is_relative_to(real)}


def _recipe(path: Path) -> Recipe | None:
    if path.is_file():
        return read_learner(path).recipe
    has_learned = (path / BEST).exists() or bool(checkpoints(path))
    return recipes.shown_of_run(read_header(path)["recipe"]) if has_learned else None
