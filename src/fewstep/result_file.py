"""`result.json` of a run folder: what the run scored when it was tested."""

from pathlib import Path
from typing import Any, TypedDict

from fewstep.json_file import read_json

RESULT = "result.json"
Interval = tuple[float, float]
Result = dict[str, Any]


class _Single(TypedDict):
    line: str


class _Always(TypedDict):
    """What every reader may count on; what results have beside it came later, or is not read again."""

    metric: str
    at_step: list[Interval]
    per_query: Interval
    tasks: int
    steps: int
    transductive: bool
    line: str
    per_query_line: str
    updates: int
    selected_update: int
    status: str
    training_seconds: float


class _Tested(_Always, total=False):
    per_task: list[float]
    single: _Single


def read_result(folder: Path) -> Result | None:
    """What `result.json` of a run folder holds; None where the run has not been tested.

    Raises `ValueError` where it is damaged.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    result: Result = read_json(path, _Tested)
    if len(result["at_step"]) != result["steps"] + 1:
        found = len(result["at_step"])
        raise ValueError(f"{path} is damaged: it has {found} scores for {result['steps']} steps, expected one more")
    return result
