"""The figures of `docs/right.md`, from the records alone."""

from pathlib import Path

import numpy as np
from right_derived import SIZES, all_tasks, half_width, tests_of
from right_store import rows

from fewstep.report.canvas import BLUE, INK, ORANGE, blank, plain, write

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SHOWN = 60
"""Tests drawn for each number of tasks, at most."""


def draw() -> list[Path]:
    """All figures."""
    return [noise(), norm()]


def noise() -> Path:
    """Every test's figure and interval, by the number of its tasks."""
    figure = blank(2.9)
    truth, panels = all_tasks().mean(), figure.subplots(1, len(SIZES), sharey=True)
    for axes, tasks in zip(panels, SIZES, strict=True):
        tests = sorted(tests_of(tasks)[:SHOWN], key=np.mean)
        for x, scores in enumerate(tests):
            mean, width = scores.mean(), half_width(scores)
            colour = BLUE if abs(mean - truth) <= width else ORANGE
            x = (x + 0.5) / len(tests)
            axes.plot([x, x], [mean - width, mean + width], color=colour, linewidth=0.8, alpha=0.6)
            axes.plot([x], [mean], "o", color=colour, markersize=2.2)
        axes.axhline(truth, color=INK, linewidth=0.7)
        plain(axes)
        axes.set(xlim=(0, 1), xticks=[], xlabel=f"{tasks} tasks")
    panels[0].set_ylabel("accuracy, %")
    figure.tight_layout()
    return write(figure, IMAGES / "right-noise.png")


def norm() -> Path:
    """One learner's accuracy by what its queries are forwarded with."""
    found, base = rows("norm"), rows("noise")["seed 0"]
    bars = {
        "together, 1 of each class": (base["accuracy"], BLUE),
        "together, 5 of each class": (found["5 a class"]["accuracy"], BLUE),
        "together, 15 of each class": (found["15 a class"]["accuracy"], BLUE),
        "alone, with the support set": (base["each_with_support"], BLUE),
        "together, 5 of one class": (found["5 of one class"]["accuracy"], ORANGE),
        "one image, nothing else": (found["1 of one class"]["accuracy"], ORANGE),
        "statistics of the support set": (found["1 a class, support"]["accuracy"], BLUE),
    }
    figure = blank(2.6)
    axes = figure.subplots()
    for y, ((mean, width), colour) in enumerate(bars.values()):
        axes.errorbar(mean, y, xerr=width, fmt="o", color=colour, markersize=5, capsize=2.5, linewidth=1.2)
        axes.annotate(
            f"{mean:.2f}", (mean, y), (0, 6), textcoords="offset points", ha="center", fontsize=7.5, color=INK
        )
    plain(axes)
    axes.grid(axis="x", color="#d9dce0", linewidth=0.6)
    axes.grid(axis="y", visible=False)
    axes.set(yticks=range(len(bars)), yticklabels=bars, xlabel="accuracy of the same weights, %")
    axes.invert_yaxis()
    figure.tight_layout()
    return write(figure, IMAGES / "right-norm.png")
