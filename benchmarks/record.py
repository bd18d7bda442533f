"""What was measured, as plain values: one JSON file holds everything, every sample too."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gradients import TOLERANCE
from benchmarks.machine import Machine
from benchmarks.roster import SUBJECT
from benchmarks.timing import Timing
from benchmarks.workloads import WORKLOADS


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contestant at one workload."""

    contestant: str
    how: str
    timing: Timing
    tasks_per_second: float
    floor_share: float
    """the floor's time as a share of the median"""
    peak_mib: float
    error: float
    """float64, relative to the plain loop"""

    @property
    def is_wrong(self) -> bool:
        """Whether it computes something else than the plain loop."""
        return not self.error <= TOLERANCE


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One workload: who ran it, and why the others did not."""

    workload: str
    about: str
    meta_batch: int
    inner_lr: float
    checked_inner_lr: float
    floor_milliseconds: float
    rows: list[Row]
    absent: dict[str, str]
    """the reason by contestant"""

    def slower(self, row: Row) -> float | None:
        """How many times fewstep's time a row takes; None where fewstep was not measured."""
        subjects = [other.timing.median for other in self.rows if other.contestant == SUBJECT]
        return row.timing.median / subjects[0] if subjects else None


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything of one run of the benchmark."""

    command: str
    machine: Machine
    rounds: int
    not_installed: dict[str, str]
    """why pip could not, by package"""
    workloads: list[Measured]
    sgemm_gflops_after: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """Runs, each of which measured some of the workloads."""

    runs: list[Run]

    @property
    def workloads(self) -> list[Measured]:
        """Of all runs, in the order of their names."""
        return sorted(
            (one for run in self.runs for one in run.workloads), key=lambda one: list(WORKLOADS).index(one.workload)
        )

    def with_run(self, run: Run) -> "Report":
        """With what `run` measured in place of what others did of the same workloads."""
        anew = {measured.workload for measured in run.workloads}
        kept = [
            dataclasses.replace(other, workloads=[one for one in other.workloads if one.workload not in anew])
            for other in self.runs
        ]
        return Report(runs=[*(other for other in kept if other.workloads), run])

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n")

    @staticmethod
    def read(path: Path) -> "Report":
        """What `write` wrote; no runs where there is no file."""
        if not path.exists():
            return Report(runs=[])
        return Report(runs=[_run(values) for values in json.loads(path.read_text())["runs"]])


def _run(values: dict[str, Any]) -> Run:
    workloads = [
        Measured(**{**one, "rows": [Row(**{**row, "timing": Timing(**row["timing"])}) for row in one["rows"]]})
        for one in values["workloads"]
    ]
    return Run(**{**values, "machine": Machine(**values["machine"]), "workloads": workloads})
