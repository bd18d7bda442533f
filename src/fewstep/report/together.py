"""Several systems in one figure: over outer updates, over inner steps, and what an update costs."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from fewstep.record import Record
from fewstep.report import canvas
from fewstep.report.curves import running_mean, spaced
from fewstep.report.measures import WINDOW, at_steps, seconds_per_update

Values = npt.NDArray[np.float64]

TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
UNEVEN = 2.5
"""Where the longest is that many times the shortest, a logarithmic axis: else the short ones are squeezed."""
LINEAR_STEPS = 12
"""Of more, the first few are what matters: the axis is then a logarithmic one."""
LETTERS_ACROSS, LETTERS_OF_A_SIGN = 84, 7
"""Of a legend: what fits the width of a figure, and what the line before a label takes."""


class Line(NamedTuple):
    """A system: its runs, one a seed, and its place in the palette, the same in every figure."""

    label: str
    records: Sequence[Record]
    place: int

    @property
    def style(self) -> dict[str, Any]:
        """Colour and dashes."""
        repeats = self.place // len(canvas.PALETTE)
        dashes = canvas.DASHES[(self.place + repeats) % len(canvas.DASHES)]
        return {"color": canvas.PALETTE[self.place % len(canvas.PALETTE)], "linestyle": dashes}


def over_updates(lines: Sequence[Line], metric: str, path: Path) -> Path:
    """Validation, the mean over seeds with a band from least to most; faint, the training score smoothed."""
    figure = canvas.blank(4.6)
    axes = figure.subplots()
    for line in lines:
        _faint_training(axes, line, metric)
        _validation(axes, line)
    _updates_axis(axes, [record.updates for line in lines for record in line.records])
    _score_axis(axes, metric)
    _finish(axes)
    figure.tight_layout()
    return canvas.write(figure, path)


def training_together(lines: Sequence[Line], path: Path) -> Path:
    """Training accuracy, every update and its running mean; of several seeds the first."""
    figure = canvas.blank(4.0)
    axes = figure.subplots()
    for line in lines:
        record = line.records[0]
        updates, values = _logged(record, "accuracy")
        axes.plot(updates, values, color=line.style["color"], alpha=0.25, linewidth=0.7, zorder=1.5)
        smooth = running_mean(values, WINDOW + 1)
        label = f"{line.label}, mean of {WINDOW + 1}"
        axes.plot(updates, smooth, color=line.style["color"], linewidth=1.9, label=label, zorder=2.5)
    axes.axhline(0.8, color=canvas.INK, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.set_xlabel("outer updates")
    _score_axis(axes, "accuracy")
    axes.set_ylabel("training accuracy")
    _finish(axes)
    figure.tight_layout()
    return canvas.write(figure, path)


def over_steps(lines: Sequence[Line], metric: str, path: Path) -> Path:
    """The test score after every inner step, with its 95 % CI."""
    figure = canvas.blank(4.2)
    axes = figure.subplots()
    for line in lines:
        scores = at_steps(line.records)
        steps, means, errors = np.arange(len(scores)), [s.mean for s in scores], [s.ci95 for s in scores]
        if len(scores) - 1 <= LINEAR_STEPS:
            bars: dict[str, Any] = {"elinewidth": 0.9, "capsize": 1.5, "marker": "o", "markersize": 4}
            axes.errorbar(steps, means, yerr=errors, label=line.label, linewidth=1.6, **bars, **line.style)
        else:
            low, high = np.subtract(means, errors), np.add(means, errors)
            axes.fill_between(steps, low, high, color=line.style["color"], alpha=0.2, linewidth=0)
            axes.errorbar(
                steps, means, label=line.label, linewidth=1.6, **line.style
            )  # as the others: legends keep order
    most = max(len(at_steps(line.records)) for line in lines) - 1
    if most > LINEAR_STEPS:
        axes.set_xscale("function", functions=(np.log1p, np.expm1))
        axes.xaxis.set_major_locator(FixedLocator([0, *(tick for tick in TICKS if tick <= most)]))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("inner steps on the support set of a test task")
    _score_axis(axes, metric)
    axes.set_ylabel("test accuracy" if metric == "accuracy" else "test mean squared error")
    _finish(axes)
    figure.tight_layout()
    return canvas.write(figure, path)


def time_bars(lines: Sequence[Line], path: Path) -> Path:
    """The median time of an outer update, the mean over seeds."""
    figure = canvas.blank(0.7 + 0.36 * len(lines))
    axes = figure.subplots()
    seconds = [statistics.fmean(median for r in line.records if (median := seconds_per_update(r))) for line in lines]
    places = np.arange(len(lines))
    axes.barh(places, seconds, height=0.62, color=[line.style["color"] for line in lines])
    for place, value in zip(places, seconds, strict=True):
        axes.annotate(
            f"{value:.2f} s" if max(seconds) >= 1 else in_seconds(value),
            (value, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=canvas.INK,
        )
    axes.set_yticks(places, [line.label for line in lines])
    axes.invert_yaxis()
    axes.set_xlim(0, max(seconds) * 1.14)
    axes.set_xlabel("seconds an outer update")
    canvas.plain(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=canvas.INK)
    figure.tight_layout()
    return canvas.write(figure, path)


def in_seconds(value: float) -> str:
    """`1.49 s`, or `18.1 ms`."""
    return f"{value:.2f} s" if value >= 0.995 else f"{1000 * value:.3g} ms"


def _faint_training(axes: Axes, line: Line, metric: str) -> None:
    for record in line.records[:1]:
        updates, values = _logged(record, metric)
        if len(values) > WINDOW:
            smooth = running_mean(values, WINDOW + 1)
            axes.plot(updates, smooth, color=line.style["color"], alpha=0.35, linewidth=0.8, zorder=1.5)


def _validation(axes: Axes, line: Line) -> None:
    """Over the updates at which every seed was validated."""
    tables = [{row["update"]: (row["score"], row["ci95"]) for row in r.validated} for r in line.records if r.validated]
    updates = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    scores = np.array([[table[update][0] for update in updates] for table in tables])
    if not updates:
        axes.plot([], [], label=line.label, linewidth=1.7, **line.style)
        return
    low, high = scores.min(axis=0), scores.max(axis=0)
    if len(tables) == 1:
        error = np.array([tables[0][update][1] for update in updates])
        low, high = low - error, high + error
    axes.fill_between(updates, low, high, color=line.style["color"], alpha=0.13, linewidth=0, zorder=2)
    marks: dict[str, Any] = {"marker": "o", "markersize": 3.5} if len(updates) <= 40 else {}
    axes.plot(updates, scores.mean(axis=0), label=line.label, linewidth=1.7, zorder=3, **marks, **line.style)


def _logged(record: Record, key: str) -> tuple[Values, Values]:
    rows = record.trained
    return np.array([row["update"] for row in rows], float), np.array([row[key] for row in rows], float)


def _updates_axis(axes: Axes, updates: Sequence[int]) -> None:
    axes.set_xlabel("outer updates")
    if max(updates) < UNEVEN * max(min(updates), 1):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda update, _: spaced(update)))
        return
    axes.set_xscale("log")
    axes.set_xlim(min(10, *updates), max(updates) * 1.05)
    axes.xaxis.set_major_locator(FixedLocator(list(TICKS)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda update, _: spaced(update)))


def _score_axis(axes: Axes, metric: str) -> None:
    if metric == "mse":
        axes.set_ylabel("mean squared error")
        axes.set_ylim(bottom=0)
        return
    axes.set_ylabel("query accuracy")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 1.01))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def _finish(axes: Axes) -> None:
    """Quiet axes, and a legend above them with as many columns as its words leave room for."""
    canvas.plain(axes)
    longest = max(len(label) for label in axes.get_legend_handles_labels()[1])
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=max(1, min(3, LETTERS_ACROSS // (longest + LETTERS_OF_A_SIGN))),
        frameon=False,
        fontsize=8.5,
        labelcolor=canvas.INK,
        borderpad=0.2,
        columnspacing=1.4,
        handlelength=2.2,
    )
