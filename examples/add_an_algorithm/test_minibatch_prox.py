"""What the paper says of Meta-MinibatchProx, by algebra, and the audit."""

import pytest
import torch
from minibatch_prox import MinibatchProx
from torch import Tensor, nn

import fewstep

LAMBDA = 0.5


def on_a_quadratic() -> tuple[fewstep.Learner, fewstep.Task, Tensor, Tensor]:
    """A learner of x ↦ x·w, a task, θ, and φ*.

    L(w) = mean (Xw − y)² has the Hessian H = 2 XᵀX / N, so that at φ*
    H φ − 2 Xᵀy / N + λ (φ − θ) = 0.
    """
    generator = torch.Generator().manual_seed(0)
    x, y = (
        torch.randn(6, size, generator=generator, dtype=torch.float64)
        for size in (4, 1)
    )
    net = nn.Linear(4, 1, bias=False).double()
    algorithm = MinibatchProx(
        inner_lr=0.1, inner_steps=400, regularization=LAMBDA
    )
    learner = fewstep.learner_of(net, algorithm, loss="mean_squared_error")
    theta = net.weight.detach()[0]
    hessian, eye = 2 * x.T @ x / 6, torch.eye(4, dtype=torch.float64)
    slope = LAMBDA * theta + 2 * x.T @ y[:, 0] / 6
    phi = torch.linalg.solve(hessian + LAMBDA * eye, slope)
    examples = fewstep.Examples(x, y)
    return learner, fewstep.Task(examples, examples), theta, phi


def test_the_inner_loop_ends_at_the_minimum_of_the_proximal_loss():
    learner, task, _, phi = on_a_quadratic()
    torch.testing.assert_close(
        learner.adapt(task.support)["weight"][0], phi, rtol=1e-9, atol=1e-9
    )


def test_the_meta_gradient_is_lambda_times_the_way_back_to_theta():
    learner, task, theta, phi = on_a_quadratic()
    outcome = learner.algorithm.meta_gradient(
        learner.model, learner.meta, task, 0
    )
    found = outcome.gradient["theta"]["weight"][0]
    torch.testing.assert_close(
        found, LAMBDA * (theta - phi), rtol=1e-9, atol=1e-9
    )


def test_the_audit_finds_no_leak():
    net = fewstep.Conv4(filters=4, downsample="stride").build(
        inputs=(1, 28, 28), outputs=5
    )
    tasks = fewstep.Strokes(
        train_alphabets=2, val_alphabets=1, test_alphabets=1
    ).build()
    learner = fewstep.learner_of(net, MinibatchProx(inner_lr=0.1))
    card = fewstep.audit(learner, tasks)
    assert card.passed, card


def test_numbers_that_hold_nothing_are_refused():
    with pytest.raises(ValueError, match="λ > 0"):
        MinibatchProx(inner_lr=0.1, regularization=0.0)
