"""Puts what was tried and recorded in `results/trust` where a page has `<!-- trust -->`."""

import json
from pathlib import Path
from typing import Any

MARK = "<!-- trust -->"
RECORDS = Path(__file__).parents[2] / "results" / "trust"
ABOUT = ("command", "seed", "commit", "seconds", "minutes", "versions")
"""What a record says of itself; all else are counts."""
TITLE = "## What was tried\n\nEach figure is read from its record in `results/trust` when this page is built."


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The mark replaced by a section with a table a record; by nothing where there is none."""
    if MARK not in markdown:
        return markdown
    found = tables(RECORDS)
    return markdown.replace(MARK, f"{TITLE}\n\n{found}" if found else "")


def tables(folder: Path) -> str:
    """A table of the counts of every record, under its command."""
    found = {path: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return "\n\n".join(_table(path.stem, record) for path, record in found.items())


def _table(name: str, record: dict[str, Any]) -> str:
    counts = {what: value for what, value in record.items() if what not in ABOUT}
    each = [pair for what, value in counts.items() for pair in _rows(what, value)]
    rows = "\n".join(f"| {what} | {text} |" for what, text in each if text)
    minutes = record["minutes"] if "minutes" in record else record["seconds"] / 60
    about = f"`{record['command']}`, {minutes:.0f} minutes, commit `{record['commit']}`"
    return f"### {name.replace('-', ' ').replace('_', ' ').capitalize()}\n\n{about}\n\n| | |\n|---|---|\n{rows}"


def _rows(what: str, value: Any) -> list[tuple[str, str]]:
    """One row; of counts within counts, a row for each."""
    if isinstance(value, dict) and value and all(isinstance(part, dict) for part in value.values()):
        return [(name, _said(part)) for name, part in value.items()]
    return [(what, _said(value))]


def _said(value: Any) -> str:
    """A number, or numbers by name; nothing of what is neither."""
    if isinstance(value, dict):
        named = {what: _said(part) for what, part in value.items()}
        return ", ".join(f"{what} {part}" for what, part in named.items() if part)
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else ""
