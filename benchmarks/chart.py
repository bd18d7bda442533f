"""One bar per contestant and workload, the floor as a line."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.record import Measured, Report
from benchmarks.roster import SUBJECT
from benchmarks.table import number

OURS, THEIRS, WRONG = "#1f6fb4", "#b9c2cc", "#d98880"


def draw(report: Report, path: Path) -> None:
    """A panel per workload, written as PNG."""
    columns = min(2, len(report.workloads))
    rows = -(-len(report.workloads) // columns)
    tallest = max(len(measured.rows) for measured in report.workloads)
    figure = Figure(figsize=(6.5 * columns, (0.28 * tallest + 1.1) * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, measured in zip(panels, report.workloads, strict=False):
        _panel(panel, measured)
    for panel in panels[len(report.workloads) :]:
        panel.set_axis_off()
    figure.savefig(path, dpi=120)


def _panel(panel: Axes, measured: Measured) -> None:
    rows = sorted(measured.rows, key=lambda row: row.timing.median, reverse=True)
    medians = [row.timing.median for row in rows]
    colours = [WRONG if row.is_wrong else OURS if row.contestant.startswith(SUBJECT) else THEIRS for row in rows]
    bars = panel.barh([row.contestant for row in rows], medians, color=colours)
    spread = [
        [row.timing.median - row.timing.lower_quartile for row in rows],
        [row.timing.upper_quartile - row.timing.median for row in rows],
    ]
    panel.errorbar(medians, range(len(rows)), xerr=spread, fmt="none", ecolor="#444444", elinewidth=1)
    panel.bar_label(bars, [f" {number(median)}" for median in medians], fontsize=8, padding=4)
    panel.axvline(measured.floor_milliseconds, color="black", linewidth=1, linestyle=":")
    panel.set_title(f"{measured.workload}: {measured.about}", fontsize=8, loc="left")
    panel.set_xlabel(f"ms per iteration of {measured.meta_batch} tasks; dotted: floor", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.margins(x=0.15)
    panel.spines[["top", "right"]].set_visible(False)
