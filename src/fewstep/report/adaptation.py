"""Pictures of adaptation: a learner's curve after 0, 1, 5 and 10 inner steps beside a sinusoid's truth."""

from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from torch import Tensor

from fewstep.core import Examples, Task
from fewstep.evaluation import Evaluation, at_test
from fewstep.inner.loop import trajectory
from fewstep.learner import Learner
from fewstep.report import canvas
from fewstep.report.shown_tasks import first_test_tasks
from fewstep.tasks.sinusoid import Sinusoid, true_sinusoid

STEPS = (0, 1, 5, 10)
SHOWN = 4
POINTS = 200
STYLES = ((canvas.FAINT, (0, (3, 2)), 1.2), (canvas.SKY, "-", 1.3), (canvas.BLUE, "-", 1.5), (canvas.ORANGE, "-", 1.8))
"""Colour, line and width of the curve after each of STEPS."""


class Adapting(NamedTuple):
    """`x, truth: [POINTS, 1]` and the learner's `curves` there after each of STEPS; its `errors` are their MSE."""

    support: Examples
    x: Tensor
    truth: Tensor
    curves: list[Tensor]

    @property
    def errors(self) -> list[float]:
        """The mean squared error of every curve."""
        return [(curve - self.truth).square().mean().item() for curve in self.curves]


def draw(tasks: Sinusoid, learner: Learner, evaluation: Evaluation, path: Path) -> Path:
    """Draw the first test tasks, at the evaluation's own inner rate."""
    tested = at_test(learner, evaluation)
    shown = [adapting(tested, task, tasks.x) for task in first_test_tasks(tasks, evaluation, SHOWN, learner)]
    figure = canvas.blank(6.6)
    panels = figure.subplots(2, 2).flat
    for number, (axes, one) in enumerate(zip(panels, shown, strict=False), start=1):
        _panel(axes, one, number)
    for unused in list(figure.axes)[len(shown) :]:
        unused.remove()
    truth, support = figure.axes[0].lines[:2]
    figure.legend(
        handles=[truth, support],
        labels=["truth", "support points"],
        loc="upper center",
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=canvas.INK,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.955), h_pad=1.4, w_pad=1.6)
    return canvas.write(figure, path)


def adapting(learner: Learner, task: Task, span: tuple[float, float]) -> Adapting:
    """The learner's curves over `span` while it adapts to `task`."""
    path = trajectory(learner.algorithm, learner.model, learner.meta, task.support, STEPS[-1])
    x = torch.linspace(*span, POINTS, dtype=task.support.x.dtype, device=task.support.x.device)[:, None]
    curves = [learner.predict(path[step], x).detach().cpu() for step in STEPS]
    return Adapting(task.to("cpu").support, x.cpu(), true_sinusoid(task.to("cpu"), x.cpu()), curves)


def three_digits(value: float) -> str:
    """0.430, 1.20, 123 or 1.23e-05."""
    return f"{value:#.3g}".rstrip(".")


def _panel(axes: Axes, shown: Adapting, number: int) -> None:
    canvas.plain(axes)
    axes.plot(shown.x, shown.truth, color=canvas.INK, linewidth=2.4, alpha=0.85, label="_truth")
    axes.plot(shown.support.x, shown.support.y, "o", color=canvas.INK, markersize=5, zorder=4, label="_support")
    for step, curve, error, (color, line, width) in zip(STEPS, shown.curves, shown.errors, STYLES, strict=True):
        name = "1 step" if step == 1 else f"{step} steps"
        axes.plot(
            shown.x,
            curve,
            color=color,
            linestyle=line,
            linewidth=width,
            label=f"{name}: {three_digits(error)}",
            zorder=3,
        )
    axes.set_title(f"test task {number}", loc="left", fontsize=9.5, color=canvas.INK)
    axes.legend(
        title="MSE after",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
        ncols=2,
        frameon=False,
        fontsize=8.5,
        title_fontsize=8.5,
        labelcolor=canvas.INK,
        columnspacing=1.2,
        handlelength=1.8,
    )
