"""The figures of docs/benchmarks.md are those of results/speed/speed.json."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "benchmarks.md").read_text()
RUNS = json.loads((ROOT / "results" / "speed" / "speed.json").read_text())["runs"]
MEASURED = {
    one["workload"]: {row["contestant"]: row for row in one["rows"]} for run in RUNS for one in run["workloads"]
}
PEERS = ("plain", "higher", "torchopt")


def rows_after(header: str) -> list[list[str]]:
    """The cells of a table of the page, by how its header begins."""
    table = PAGE[PAGE.index(header) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def milliseconds(row: dict) -> str:
    median = row["timing"]["median"]
    return f"{median:.0f}" if median >= 100 else f"{median:.3g}"


@pytest.mark.parametrize("cells", rows_after("| | iteration |"), ids=lambda cells: cells[0])
def test_ratio_share_and_memory_are_as_measured(cells):
    workload, is_compiled = cells[0].removesuffix(" compiled"), cells[0].endswith(" compiled")
    rows = MEASURED[workload]
    ours = rows["fewstep-compiled" if is_compiled else "fewstep"]
    fastest = min(PEERS, key=lambda name: rows[name]["timing"]["median"])
    ratio = rows[fastest]["timing"]["median"] / ours["timing"]["median"]
    share = "" if workload == "W2" else f"{100 * ours['floor_share']:.0f} %"
    told = [milliseconds(ours), f"{milliseconds(rows[fastest])} ({fastest})", f"{ratio:.2f}", share]
    assert [cells[2], cells[3], cells[4], cells[6]] == told
    assert cells[8] == f"{ours['peak_mib']:.0f}"


@pytest.mark.parametrize("cells", rows_after("| | fewstep |"), ids=lambda cells: cells[0])
def test_the_milliseconds_of_every_contestant_are_as_measured(cells):
    names = [name.strip() for name in re.search(r"\| \| (fewstep \|.*) \|\n", PAGE)[1].split("|")]
    rows = MEASURED[cells[0]]
    assert cells[1:] == [milliseconds(rows[name]) if name in rows else "" for name in names]


def test_goals_that_are_missed_are_named():
    missed = {
        kind: [
            cells[0]
            for cells in rows_after("| | iteration |")
            if cells[at] and _number(cells[at]) < _number(cells[at + 1])
        ]
        for kind, at in (("ratios", 4), ("shares", 6))
    }
    assert f"the ratios of {_listed(missed['ratios'])}," in PAGE
    assert f"the shares of {_listed(missed['shares'])}." in PAGE


def test_the_chart_is_the_recorded_one():
    chart = (ROOT / "docs" / "images" / "speed.png").read_bytes()
    assert chart == (ROOT / "results" / "speed" / "speed.png").read_bytes()


def test_the_largest_error_is_as_recorded():
    largest = max(row["error"] for rows in MEASURED.values() for row in rows.values())
    assert f"the largest\nerror in the record is {largest:.0e}." in PAGE


def _number(cell: str) -> float:
    return float(cell.removesuffix(" %"))


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
