from math import pi
from pathlib import Path

import pytest
import torch

from fewstep.core import Examples, Task
from fewstep.tasks.sinusoid import Sinusoid, true_sinusoid


def points(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = (torch.cat([getattr(task.support, name), getattr(task.query, name)], dim=1) for name in ("x", "y"))
    return x.double(), y.double()


def amplitude_and_phase(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """y = A sin(x − p) = A cos p · sin x − A sin p · cos x: two linear unknowns for every task."""
    x, y = points(task)
    (a, b) = torch.linalg.lstsq(torch.cat([x.sin(), -x.cos()], dim=-1), y).solution.squeeze(-1).unbind(-1)
    return torch.hypot(a, b), torch.atan2(b, a) % (2 * pi)


def test_every_task_is_one_sinusoid_through_support_and_query():
    task = Sinusoid(shots=5, queries=6).sample(0, "train", 0, 20)
    x, y = points(task)
    amplitude, phase = (values[:, None, None] for values in amplitude_and_phase(task))
    torch.testing.assert_close(amplitude * torch.sin(x - phase), y, rtol=0, atol=1e-5)


def test_amplitude_phase_and_x_fill_their_ranges():
    task = Sinusoid(shots=10, queries=10).sample(0, "train", 0, 2000)
    amplitude, phase = amplitude_and_phase(task)
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, pi), (points(task)[0], -5.0, 5.0)):
        assert values.min() == pytest.approx(low, abs=0.02)
        assert values.max() == pytest.approx(high, abs=0.02)
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.15)
        assert values.std() == pytest.approx((high - low) / 12**0.5, rel=0.05)  # of a uniform distribution


def test_predicting_zero_has_the_error_of_theory():
    _, y = points(Sinusoid().sample(0, "train", 0, 20_000))
    # E[A²] · E[sin²] with A uniform in [0.1, 5] and a phase uniform over a period of sin²
    expected = (5.0**3 - 0.1**3) / (3 * 4.9) / 2
    assert expected == pytest.approx(4.252, abs=1e-3)
    assert y.square().mean() == pytest.approx(expected, rel=0.03)


def test_the_best_predictor_that_does_not_know_the_task_has_the_error_of_theory():
    x, y = points(Sinusoid().sample(0, "train", 0, 20_000))
    best = 2.55 * -2 / pi * x.cos()  # E[A] · E over p in [0, π] of sin(x − p)
    assert (y - best).square().mean() == pytest.approx(3.006, rel=0.03)


def test_the_courses_phases_average_out():
    x, y = points(Sinusoid(phase=(0.0, 2 * pi)).sample(0, "train", 0, 20_000))
    assert (x.cos() * y).mean() == pytest.approx(0, abs=0.05)
    assert (x.sin() * y).mean() == pytest.approx(0, abs=0.05)


def test_shapes_lead_with_the_tasks():
    task = Sinusoid(shots=3, queries=7).sample(0, "train", 0, 4)
    assert task.support.x.shape == task.support.y.shape == (4, 3, 1)
    assert task.query.x.shape == task.query.y.shape == (4, 7, 1)
    assert task.support.x.dtype == task.support.y.dtype == torch.float32


def test_the_same_place_gives_the_same_tasks_and_another_stream_others():
    splits = Sinusoid().build(Path("unused"))
    train, again, test = (
        tasks.sample(0, stream, 3, 2).support.x
        for tasks, stream in ((splits.train, "train"), (splits.train, "train"), (splits.test, "test"))
    )
    assert torch.equal(train, again)
    assert not torch.equal(train, test)


def test_no_points_is_an_error():
    with pytest.raises(ValueError, match="shots ≥ 1 and queries ≥ 1, got 0 and 10"):
        Sinusoid(shots=0)


def test_the_true_sinusoid_is_recovered_from_a_tasks_points():
    known, x = torch.tensor([[-2.0], [0.3], [1.7], [4.0]]), torch.linspace(-5, 5, 11)[:, None]
    points = Examples(known, 3.0 * (known - 1.2).sin())
    found = true_sinusoid(Task(points, points), x)
    torch.testing.assert_close(found, 3.0 * (x - 1.2).sin(), rtol=0, atol=1e-5)
