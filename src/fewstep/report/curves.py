"""Loss and score over outer updates: raw values, their running mean, validation, and the update chosen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from fewstep.journal import Row, best_update
from fewstep.report import canvas

Values = npt.NDArray[np.float64]


def draw(rows: Sequence[Row], metric: str, path: Path) -> Path:
    """Draw `rows` of `metrics.jsonl`; `metric` is "accuracy", or "mse", where loss and score share one panel."""
    figure = canvas.blank(5.6 if metric == "accuracy" else 3.6)
    if metric == "accuracy":
        upper, lower = figure.subplots(2, 1, sharex=True)
        _training(upper, rows, "loss", "training loss")
        _training(lower, rows, "accuracy", "training")
    else:
        upper = lower = figure.subplots()
        _training(lower, rows, "mse", "training")
    _validation(lower, rows, metric)
    (_as_percent if metric == "accuracy" else _as_errors)(lower)  # last: limits stay where they are set
    upper.set_ylabel("loss" if metric == "accuracy" else "mean squared error")
    lower.set_xlabel("outer updates")
    lower.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    lower.xaxis.set_major_formatter(FuncFormatter(lambda update, _: spaced(update)))
    for axes in {upper: None, lower: None}:
        canvas.plain(axes)
        _legend(axes)
    figure.tight_layout(h_pad=1.2)
    return canvas.write(figure, path)


def running_mean(values: Values, window: int) -> Values:
    """The mean of the `window` values around each (odd), of those that there are at the two ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first = np.maximum(index - window // 2, 0)
    last = np.minimum(index + window // 2 + 1, len(values))
    means: Values = (sums[last] - sums[first]) / (last - first)
    return means


def spaced(number: float) -> str:
    """A whole number with thin spaces between the thousands."""
    return f"{number:,.0f}".replace(",", "\u2009")


def _training(axes: Axes, rows: Sequence[Row], key: str, label: str) -> None:
    drawn = [row for row in rows if row["kind"] == "train"]
    updates = np.array([row["update"] for row in drawn])
    values = np.array([row[key] for row in drawn], dtype=np.float64)
    window = 2 * (min(max(8, len(values) // 40), 400) // 2) + 1
    width = 1.0 if len(values) < 300 else 0.5  # many values are a band, few a line
    axes.plot(updates, values, color=canvas.SKY, alpha=0.55, linewidth=width, zorder=1.5)
    label = f"{label}, mean of {window}"
    axes.plot(updates, running_mean(values, window), color=canvas.BLUE, linewidth=1.8, label=label, zorder=2.5)


def _validation(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    drawn = [row for row in rows if row["kind"] == "validation" and row["score"] is not None]
    if not drawn:
        return
    updates, scores, errors = (np.array([row[key] for row in drawn]) for key in ("update", "score", "ci95"))
    axes.errorbar(
        updates,
        scores,
        yerr=np.minimum(errors, scores * 0.999),  # a logarithmic axis has no room below zero
        fmt="o",
        markersize=4 if len(drawn) <= 24 else 2.5,
        color=canvas.ORANGE,
        elinewidth=1.1,
        capsize=2.5 if len(drawn) <= 24 else 0,
        label="validation, 95 % CI",
        zorder=3,
    )
    chosen = updates.tolist().index(best_update(drawn, metric == "accuracy"))
    axes.axvline(updates[chosen], color=canvas.INK, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
    label = f"chosen: {spaced(updates[chosen])}"
    axes.plot(
        updates[chosen],
        scores[chosen],
        "o",
        markersize=9,
        markerfacecolor="none",
        color=canvas.INK,
        label=label,
        zorder=4,
    )


def _as_percent(axes: Axes) -> None:
    axes.set_ylabel("query accuracy")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), min(high, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def _as_errors(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i].startswith("chosen"))  # last: it is a validation's
    axes.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=3,
        frameon=False,
        fontsize=8.5,
        labelcolor=canvas.INK,
        borderpad=0.2,
        columnspacing=1.2,
        handlelength=1.6,
    )
