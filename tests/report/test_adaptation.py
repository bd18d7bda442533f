from dataclasses import replace

import pytest
import torch
from PIL import Image

from fewstep.core import Examples, Task
from fewstep.evaluation import Evaluation, at_test
from fewstep.report import adaptation
from fewstep.report.shown_tasks import first_test_tasks
from fewstep.tasks.sinusoid import Sinusoid


def sinusoid_task(amplitude: float, phase: float) -> Task:
    x = torch.tensor([[-2.0], [0.3], [1.7], [4.0]])
    y = amplitude * (x - phase).sin()
    return Task(Examples(x[:3], y[:3]), Examples(x[3:], y[3:]))


def test_curves_are_those_of_the_learner_after_0_1_5_and_10_steps(sinusoid_run):
    task = sinusoid_task(2.0, 0.5)
    shown = adaptation.adapting(sinusoid_run.learner, task, (-5.0, 5.0))
    for steps, curve in zip((0, 1, 5, 10), shown.curves, strict=True):
        expected = sinusoid_run.learner.predict(sinusoid_run.learner.adapt(task.support, steps), shown.x)
        torch.testing.assert_close(curve, expected.detach())
    assert shown.errors[1] == pytest.approx(float(((shown.curves[1] - shown.truth) ** 2).mean()))


def test_adaptation_runs_at_the_evaluations_own_inner_rate(sinusoid_run):
    still = at_test(sinusoid_run.learner, Evaluation(inner_lr=0.0))
    shown = adaptation.adapting(still, sinusoid_task(2.0, 0.5), (-5.0, 5.0))
    assert all(torch.equal(curve, shown.curves[0]) for curve in shown.curves)


def test_shown_tasks_are_the_first_of_the_list_that_is_scored(sinusoid_run):
    tasks, evaluation = Sinusoid(), Evaluation(tasks=250, seed=5)
    shown = first_test_tasks(tasks, evaluation, 4, sinusoid_run.learner)
    scored = tasks.sample(5, "test", 0, 100)  # evaluation samples blocks of 100
    assert all(torch.equal(task.support.x, scored.support.x[i]) for i, task in enumerate(shown))


def test_pictures_are_drawn_of_a_list_shorter_than_the_figure(sinusoid_run, tmp_path):
    evaluation = replace(sinusoid_run.experiment.recipe.evaluation, tasks=2)
    path = adaptation.draw(Sinusoid(), sinusoid_run.learner, evaluation, tmp_path / "adaptation.png")
    with Image.open(path) as picture:
        assert len(picture.convert("RGB").getcolors(maxcolors=2**20)) > 50


def test_errors_are_written_with_three_digits():
    assert [adaptation.three_digits(value) for value in (0.43, 1.2, 123.4, 1.234e-5)] == [
        "0.430",
        "1.20",
        "123",
        "1.23e-05",
    ]
