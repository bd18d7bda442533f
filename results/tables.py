"""Write what was recorded into the tables of the assignment's answers: `python results/tables.py`.

A cell that holds a figure begins with a comment that says which, as `<!-- result: course-5w1s-maml -->`.
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
ANSWERS = HERE.parent / "examples" / "assignment"
DOCUMENTS = {ANSWERS / "README.md": "not recorded yet", ANSWERS / "README.zh-TW.md": "尚未記錄"}
"""The documents, and what each says where there is no record."""
CELL = re.compile(r"<!-- (?P<kind>\w+): (?P<name>[\w-]+)(?: (?P<at>\d+))? -->[^|\n]*(?= \|)")
NOTHING = "—"


def fill(text: str, missing: str) -> str:
    """`text` with every cell as recorded."""

    def filled(cell: re.Match[str]) -> str:
        marker = cell[0].partition(" -->")[0]
        name = cell["name"]
        record = HERE / name if (HERE / name).exists() else HERE / "runs" / name  # a run that was cut
        found = figure(cell["kind"], record, int(cell["at"] or 0))
        return f"{marker} --> {found or (missing if cell['kind'] == 'result' else NOTHING)}"

    return CELL.sub(filled, text)


def figure(kind: str, record: Path, at: int) -> str | None:
    """One figure of a record: its `result`, the score of each query `alone`, the number of `updates`, the score after
    `step` AT, or the `validation` after update AT; None where it does not have that.
    """
    if not (record / "result.json").exists():
        return None
    result = json.loads((record / "result.json").read_text())
    if kind == "updates":
        return str(result["updates"])
    if kind == "validation":
        rows = map(json.loads, (record / "metrics.jsonl").read_text().splitlines())
        scores = [(row["score"], row["ci95"]) for row in rows if row["kind"] == "validation" and row["update"] == at]
    else:
        scores = {"result": result["at_step"][-1:], "alone": [result["per_query"]], "step": result["at_step"][at:]}[
            kind
        ]
    return worded(result["metric"], *scores[0]) if scores else None


def worded(metric: str, mean: float, ci95: float) -> str:
    """`95.34 ± 0.58 %`, or `1.9524 ± 0.1424`."""
    return f"{100 * mean:.2f} ± {100 * ci95:.2f} %" if metric == "accuracy" else f"{mean:.4f} ± {ci95:.4f}"


def fill_all() -> None:
    """Bring every document up to the records."""
    for document, missing in DOCUMENTS.items():
        document.write_text(fill(document.read_text(), missing))


if __name__ == "__main__":
    fill_all()
