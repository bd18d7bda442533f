"""Sinusoid regression (Finn et al. 2017, arXiv:1703.03400, section 5.1): y = A sin(x − phase)."""

from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewstep import seeding
from fewstep.core import Examples, Task
from fewstep.tasks.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Sinusoid:
    """Amplitude, phase and x uniform in their ranges; the defaults are the paper's.

    The course draws A sin(x + b), b ~ U[0, 2π], which is the same distribution as `phase=(0, 2π)` here.
    """

    shots: int = 10
    """points to adapt on"""
    queries: int = 10
    """points to test on"""
    amplitude: tuple[float, float] = (0.1, 5.0)
    """range of A"""
    phase: tuple[float, float] = (0.0, pi)
    """range of the phase, radians"""
    x: tuple[float, float] = (-5.0, 5.0)
    """range of x"""

    def __post_init__(self) -> None:
        if min(self.shots, self.queries) < 1:
            raise ValueError(f"a sinusoid task needs shots ≥ 1 and queries ≥ 1, got {self.shots} and {self.queries}")

    inputs = (1,)
    outputs = 1

    @property
    def class_names(self) -> list[str]:
        """None: tasks are generated."""
        return []

    def build(self, data_root: Path | None = None) -> Splits:
        """The same distribution three times; the splits differ in their streams of random numbers."""
        ranges = {name: list(getattr(self, name)) for name in ("amplitude", "phase", "x")}
        points = {"shots": self.shots, "queries": self.queries}
        return Splits(self, self, self, {"tasks": "sinusoid", "formula": "A sin(x - phase)", **ranges, **points})

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """`count` tasks with x and y of shape `[count, shots or queries, 1]`."""
        rng = seeding.numpy_generator(seed, stream, step)
        amplitude = rng.uniform(*self.amplitude, size=(count, 1, 1))
        phase = rng.uniform(*self.phase, size=(count, 1, 1))
        x = rng.uniform(*self.x, size=(count, self.shots + self.queries, 1))
        y = amplitude * np.sin(x - phase)
        points = Examples(torch.from_numpy(x).float(), torch.from_numpy(y).float())
        return Task(
            Examples(points.x[:, : self.shots], points.y[:, : self.shots]),
            Examples(points.x[:, self.shots :], points.y[:, self.shots :]),
        )


def true_sinusoid(task: Task, x: Tensor) -> Tensor:
    """The task's sinusoid at `x: [M, 1]`, recovered from its noiseless points.

    A sin(x − phase) = a sin x + b cos x is linear in a and b, so two points decide it.
    """
    known = torch.cat([task.support.x, task.query.x]).double()
    values = torch.cat([task.support.y, task.query.y]).double()
    coefficients: Tensor = torch.linalg.lstsq(torch.cat([known.sin(), known.cos()], dim=1), values).solution
    values = torch.cat([x.double().sin(), x.double().cos()], dim=1) @ coefficients
    return values.to(x.dtype)
