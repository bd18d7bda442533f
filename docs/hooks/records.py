"""Fills pages from the repository when the site is built: results from their records, fields from their dataclasses.

`{{ score RUN }}` is the accuracy of `results/RUN/result.json` as it was tested, `{{ alone RUN }}` that of each query
alone, `{{ line RUN }}` the whole result line, `{{ updates RUN }}` and `{{ minutes RUN }}` (CPU minutes) what it took;
`{{ fields algorithms/maml.py MAML }}` is a table of a dataclass in `src/fewstep`.
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"\{\{ (\w+) ([^}]+?) \}\}")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Every place filled."""
    return PLACE.sub(lambda found: filled(found[1], found[2].split()), markdown)


def filled(what: str, words: list[str]) -> str:
    """What stands in one place.

    Raises `PluginError` where there is no such record, field or word.
    """
    if what == "fields":
        return fields(ROOT / "src" / "fewstep" / words[0], words[1])
    path = ROOT / "results" / words[0] / "result.json"
    try:
        result = json.loads(path.read_text())
        return {
            "score": lambda: percent(result["at_step"][-1]),
            "alone": lambda: percent(result["per_query"]),
            "line": lambda: result["line"],
            "updates": lambda: str(result["updates"]),
            "minutes": lambda: f"{result['cpu_minutes']:.1f}",
        }[what]()
    except (OSError, KeyError) as error:
        raise PluginError(f"{what} {' '.join(words)}: {error!r}") from error


def percent(score: tuple[float, float]) -> str:
    """`97.26 ± 0.46 %`."""
    return f"{100 * score[0]:.2f} ± {100 * score[1]:.2f} %"


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
