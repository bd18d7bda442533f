"""A sheet of test tasks: support images with their labels, query images with what the learner says of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from fewstep.core import Task
from fewstep.evaluation import Evaluation, at_test
from fewstep.learner import Learner
from fewstep.report import canvas
from fewstep.report.shown_tasks import first_test_tasks
from fewstep.tasks.splits import Tasks

ACROSS = 5
"""Tiles in a row of either half: ten small images fit the width of a phone."""
MOST_TILES = 25
SHOWN = 4
MOST_ROWS = 14
PITCH, LINE, HEAD, GAP = 1.14, 0.95, 1.0, 0.55
"""In widths of an image: tile to tile, the room for the words below it, the title of a task, between the halves."""

Pixels = npt.NDArray[np.float32]


class Tile(NamedTuple):
    """An image `[height, width]` or `[height, width, 3]`, in [0, 1], its label and finer words below it."""

    pixels: Pixels
    label: str
    detail: str = ""
    color: str = ""


class Shown(NamedTuple):
    """What is drawn of one task."""

    title: str
    support_words: str
    support: list[Tile]
    query: list[Tile]

    @property
    def rows(self) -> int:
        """Rows of tiles in the taller half."""
        return -(-max(len(self.support), len(self.query)) // ACROSS)


def draw(tasks: Tasks, learner: Learner, evaluation: Evaluation, path: Path) -> Path:
    """Draw the first test tasks after the evaluation's own steps; fewer tasks where each needs many rows."""
    tested = at_test(learner, evaluation)
    shown: list[Shown] = []
    for number, task in enumerate(first_test_tasks(tasks, evaluation, SHOWN, learner), start=1):
        shown.append(judge(tested, task, evaluation.steps, number))
        if sum(one.rows for one in shown) + shown[0].rows > MOST_ROWS:
            break
    across = 2 * ACROSS * PITCH + GAP
    heights = [HEAD + one.rows * (PITCH + LINE) for one in shown]
    down = sum(heights) + 0.2
    figure = canvas.blank(canvas.WIDTH * down / across)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, across), ylim=(down, 0))
    axes.axis("off")
    for i, one in enumerate(shown):
        top = 0.1 + sum(heights[:i])
        _task(axes, one, top)
        if i:
            axes.axhline(top - 0.12, color=canvas.RULE, linewidth=0.8)
    return canvas.write(figure, path)


def judge(learner: Learner, task: Task, steps: int, number: int) -> Shown:
    """Adapt to `task`, predict its queries together, and choose what is drawn."""
    probabilities = learner.predict(learner.adapt(task.support, steps), task.query.x).detach().softmax(-1).cpu()
    task = task.to("cpu")
    right = probabilities.argmax(-1) == task.query.y
    support, query = shown_support(task.support.y), shown_query(task)
    every = "support, with its labels"
    cut = f", {len(query)} of them shown" if len(query) < len(right) else ""
    return Shown(
        f"Test task {number}: {int(right.sum())} of {len(right)} queries right{cut}",
        every if len(support) == len(task.support.y) else f"{every}, {len(support)} of {len(task.support.y)}",
        [Tile(image(task.support.x[i]), str(int(task.support.y[i]) + 1)) for i in support],
        [_query_tile(task, probabilities, i) for i in query],
    )


def shown_support(y: Tensor) -> list[int]:
    """Which support examples are drawn: as many of every class as there is room for, class by class."""
    classes = sorted(set(y.tolist()))[:MOST_TILES]
    each = max(1, min(ACROSS, MOST_TILES // len(classes)))
    return [int(i) for label in classes for i in torch.nonzero(y == label)[:each, 0]]


def shown_query(task: Task) -> list[int]:
    """Which queries are drawn: all where there is room, else spread evenly over them."""
    room = max(2 * ACROSS, len(shown_support(task.support.y)))
    total = len(task.query.y)
    return [int(i) for i in np.linspace(0, total - 1, min(room, total)).round()]


def image(x: Tensor) -> Pixels:
    """`x: [1 or 3, height, width]` for drawing; values beyond [0, 1] are scaled into it."""
    low, high = min(0.0, x.min().item()), max(1.0, x.max().item())
    pixels: Pixels = ((x - low) / (high - low)).permute(1, 2, 0).numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _query_tile(task: Task, probabilities: Tensor, i: int) -> Tile:
    truth, told = int(task.query.y[i]), int(probabilities[i].argmax())
    share = f"{100 * probabilities[i, told].item():.0f} %"
    if truth == told:
        return Tile(image(task.query.x[i]), f"✓ {told + 1}", share, canvas.GREEN)
    return Tile(image(task.query.x[i]), f"✗ {told + 1}", f"{share}\ntruth {truth + 1}", canvas.ORANGE)


def _task(axes: Axes, shown: Shown, top: float) -> None:
    margin = (PITCH - 1) / 2
    axes.text(margin, top + 0.25, shown.title, weight="bold", color=canvas.INK, va="center", fontsize=9)
    halves = ((shown.support_words, shown.support), ("queries, as predicted", shown.query))
    for half, (words, tiles) in enumerate(halves):
        left = margin + half * (ACROSS * PITCH + GAP)
        axes.text(left, top + 0.68, words, color=canvas.FAINT, va="center", fontsize=8.5)
        for i, tile in enumerate(tiles):
            row, column = divmod(i, ACROSS)
            _tile(axes, tile, left + column * PITCH, top + HEAD + row * (PITCH + LINE))


def _tile(axes: Axes, tile: Tile, left: float, top: float) -> None:
    extent = (left, left + 1, top + 1, top)
    axes.imshow(tile.pixels, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest", aspect="auto")
    edge, width = (tile.color, 2.2) if tile.color else (canvas.RULE, 0.8)
    axes.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=edge, linewidth=width, zorder=3))
    middle, below, color = left + 0.5, top + 1.08, tile.color or canvas.INK
    axes.text(middle, below, tile.label, color=color, ha="center", va="top", fontsize=8.5, weight="bold")
    axes.text(middle, below + 0.3, tile.detail, color=canvas.FAINT, ha="center", va="top", fontsize=7.5)
