"""Measurements as JSON, one file a topic and one row a name; a row that is there is not measured again."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fewstep.evaluation import Result
from fewstep.versions import versions

RECORDS = Path(__file__).parent / "right"
Row = dict[str, Any]


def rows(topic: str) -> dict[str, Row]:
    """What is recorded of a topic, by name."""
    path = RECORDS / f"{topic}.json"
    found: dict[str, Row] = json.loads(path.read_text()) if path.exists() else {}
    return found


def measure(topic: str, name: str, work: Callable[[], Row]) -> None:
    """Do the work and add its row, unless there is one; it says how it was made and in how many seconds."""
    found = rows(topic)
    if name in found:
        return
    began, cpu_began = time.monotonic(), time.process_time()
    row = work()
    made = {
        "command": f"python results/right.py {topic}",
        "commit": versions()["commit"],
        "cpu_seconds": round(time.process_time() - cpu_began, 1),
        "seconds": round(time.monotonic() - began, 1),
    }
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{topic}.json").write_text(json.dumps({**found, name: {**row, **made}}, indent=1) + "\n")


def scores(result: Result) -> Row:
    """What a row keeps of a result: percent and half width of the 95 % interval, without the scores of the tasks."""

    def percent(mean: float, ci95: float) -> list[float]:
        return [round(100 * mean, 2), round(100 * ci95, 2)]

    return {
        "accuracy": percent(*result.score),
        "at_step": [percent(*one) for one in result.at_step],
        "each_with_support": percent(*result.per_query),
        "tasks": result.tasks,
        "queries": result.queries,
        "seed": result.seed,
        "steps": result.steps,
        "norm": result.norm,
    }


def right_of_each(result: Result) -> str:
    """How many queries of each task were right, a digit a task; tasks have fewer than ten."""
    return "".join(str(round(score * result.queries)) for score in result.per_task)
