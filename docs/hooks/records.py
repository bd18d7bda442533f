"""Fills pages from the repository when the site is built: results from their records, fields from their dataclasses.

`{{ score RUN }}` is the score of `results/RUN/result.json` as it was tested, `{{ alone RUN }}` that of each query
alone, `{{ step RUN 1 }}` that after one inner step, `{{ line RUN }}` the whole result line, `{{ updates RUN }}` and
`{{ minutes RUN }}` (CPU minutes) what it took; RUN may also be a file of a record, `NAME/evaluated-support`.
`{{ fields algorithms/maml.py MAML }}` is a table of a dataclass in `src/fewstep`; `{{ recorded MAML }}` a table of the
recorded runs of an algorithm, each with its command; `{{ waiting MAML }}` a list of the recipes without a record.
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

from fewstep import recipes
from fewstep.recipe import Recipe

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
PLACES = ("", "budget", "runs")
"""Folders of records; runs that were cut lie in the last."""
PLACE = re.compile(r"\{\{ (\w+) ([^}]+?) \}\}")
UNBROKEN = "\u00a0"
"""A space at which no line ends."""
HEADER = """\
| command | protocol | updates | queries together | each query alone |
|---|---|---|---|---|
"""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Every place filled."""
    return PLACE.sub(lambda found: filled(found[1], found[2].split()), markdown)


def filled(what: str, words: list[str]) -> str:
    """What stands in one place.

    Raises `PluginError` where there is no such record, field or word.
    """
    if what == "fields":
        return fields(ROOT / "src" / "fewstep" / words[0], words[1])
    if what in ("recorded", "waiting"):
        return (recorded if what == "recorded" else waiting)(words[0])
    try:
        result = result_of(words[0])
        return {
            "score": lambda: worded(result, result["at_step"][-1]),
            "alone": lambda: worded(result, result["per_query"]),
            "step": lambda: worded(result, result["at_step"][int(words[1])]),
            "line": lambda: str(result["line"]),
            "updates": lambda: str(result["updates"]),
            "minutes": lambda: f"{result['cpu_minutes']:.1f}",
        }[what]()
    except (OSError, LookupError) as error:
        raise PluginError(f"{what} {' '.join(words)}: {error!r}") from error


def result_of(run: str) -> dict[str, Any]:
    """The record of a run, or one of its files."""
    folder = RESULTS / run
    path = folder / "result.json" if folder.is_dir() else folder.with_suffix(".json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def worded(result: dict[str, Any], score: tuple[float, float]) -> str:
    """`97.26 ± 0.46 %`, or an error, `MSE 0.1027 ± 0.0108`, on one line."""
    if result["metric"] == "accuracy":
        found = f"{100 * score[0]:.2f} ± {100 * score[1]:.2f} %"
    else:
        found = f"{result['metric'].upper()} {score[0]:.4f} ± {score[1]:.4f}"
    return found.replace(" ", UNBROKEN)


def of_algorithm(name: str) -> dict[str, tuple[Recipe, Path | None]]:
    """The recipes of an algorithm by the name of its class, and where each is recorded."""
    found = [recipe for recipe in recipes.ALL if type(recipe.algorithm).__name__ == name]
    if not found:
        raise PluginError(f"no recipe has the algorithm {name}")
    return {recipe.name: (recipe, record_of(recipe.name)) for recipe in found}


def record_of(recipe: str) -> Path | None:
    """The folder of a recipe's record."""
    paths = (RESULTS / place / recipe for place in PLACES)
    return next((path for path in paths if (path / "result.json").exists()), None)


def recorded(algorithm: str) -> str:
    """A table of an algorithm's recorded runs."""
    rows = [_row(recipe, path) for recipe, path in of_algorithm(algorithm).values() if path is not None]
    return HEADER + "\n".join(rows)


def _row(recipe: Recipe, path: Path) -> str:
    result = json.loads((path / "result.json").read_text())
    done, planned = result["updates"], recipe.training.updates
    cells = (
        f"`fewstep train {recipe.name}`",
        getattr(recipe.test_tasks, "protocol", type(recipe.test_tasks).__name__.lower()),
        str(done) if done == planned else f"{done} of {planned}",
        worded(result, result["at_step"][-1]),
        worded(result, result["per_query"]) if result["transductive"] else "the same",
    )
    return f"| {' | '.join(cells)} |"


def waiting(algorithm: str) -> str:
    """A list of an algorithm's recipes that nobody has recorded. Raises `PluginError` where there is none."""
    found = [recipe for recipe, path in of_algorithm(algorithm).values() if path is None]
    if not found:
        raise PluginError(f"every recipe of {algorithm} is recorded: nothing is waiting")
    rows = "\n".join(f"- `fewstep train {recipe.name}`: {recipe.about}" for recipe in found)
    return f"Not run to their end here:\n\n{rows}"


def fields(path: Path, name: str) -> str:
    """A table of the fields of a dataclass, their defaults and what is said of them."""
    tree = ast.parse(path.read_text())
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    if not found:
        raise PluginError(f"{path} has no class {name}")
    rows = []
    for node, said in zip(found[0].body, [*found[0].body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
            rows.append(f"| `{ast.unparse(node.target)}` | {default(node.value)} | {docstring(said)} |")
    return "\n".join(["| field | default | |", "|---|---|---|", *rows])


def default(value: ast.expr | None) -> str:
    """A default as the reader would write it."""
    if value is None:
        return "required"
    if isinstance(value, ast.Call):  # field(default_factory=...)
        made = value.keywords[0].value
        return f"`{ast.unparse(made.body)}`" if isinstance(made, ast.Lambda) else f"`{ast.unparse(made)}()`"
    return f"`{ast.unparse(value)}`"


def docstring(node: ast.stmt | None) -> str:
    """The string that follows a field."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split()).replace("|", "\\|")
    return ""
