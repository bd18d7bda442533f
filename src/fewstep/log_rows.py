"""The rows of a run's log, as its lines have them."""

import json
from pathlib import Path
from typing import Any

NUMBERS = {"audit": (), "train": ("loss", "elapsed", "seconds"), "validation": ("score", "ci95"), "diverged": ()}
"""What rows of each kind hold in any case, beside `update`."""


def rows_of(content: bytes, path: Path) -> list[dict[str, Any]]:
    """The rows of a log, read from `path`; a half-written last line, as a crash leaves it, is left out.

    Raises `ValueError` for a line that is damaged otherwise, by its number.
    """
    rows: list[dict[str, Any]] = []
    lines = content.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise ValueError(f"{path} is damaged: line {number} is no row of a log ({error})") from error
        if not _is_row(row):
            raise ValueError(f"{path} is damaged: line {number} is no row of a log, {line[:80]!r}")
        rows.append(row)
    return rows


def _is_row(row: Any) -> bool:
    """By hand, for logs are long: its kind, and numbers for whatever its readers take for one."""
    kind = row.get("kind") if isinstance(row, dict) else None
    if not isinstance(kind, str) or kind not in NUMBERS or type(row.get("update")) is not int:
        return False
    if kind == "validation" and row.get("score") is None:
        return "score" in row
    named = [row.get(name) for name in NUMBERS[kind]] + [row[name] for name in ("accuracy", "mse") if name in row]
    return all(type(value) in (int, float) for value in named)
