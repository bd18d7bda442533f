import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import central_difference, inner_product, plain_adapt, seed, smooth_net, smooth_task, unit_direction
from fewstep.algorithms.imaml import IMAML
from fewstep.algorithms.maml import MAML
from fewstep.core import Examples, MetaGradient, Params, Task
from fewstep.inner.conjugate_gradient import conjugate_gradient
from fewstep.learner import Learner, learner_of
from fewstep.memory import held_bytes

LAMBDA = 0.5


class Quadratic(nn.Module):
    """x ↦ x·w."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w)[:, None]


def random_regression(number: int) -> Examples:
    x, y = (torch.randn(6, size, generator=seed(number), dtype=torch.float64) for size in (4, 1))
    return Examples(x, y)


def outcome_of(learner: Learner, task: Task) -> MetaGradient:
    return learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)


def on_quadratic(**settings: object) -> tuple[Learner, Task, Tensor, Tensor, Tensor]:
    """The learner, the task, H, φ* and ∇L_query(φ*).

    L(w) = mean (Xw − y)²: H = 2 XᵀX/N; at φ* it holds that H φ − 2 Xᵀy/N + λ (φ − θ) = 0.
    """
    support, query = random_regression(1), random_regression(2)
    theta = torch.randn(4, generator=seed(3), dtype=torch.float64)
    hessian, eye = 2 * support.x.T @ support.x / 6, torch.eye(4, dtype=torch.float64)
    phi = torch.linalg.solve(hessian + LAMBDA * eye, LAMBDA * theta + 2 * support.x.T @ support.y[:, 0] / 6)
    gradient = 2 * query.x.T @ (query.x @ phi - query.y[:, 0]) / 6
    algorithm = IMAML(inner_lr=0.1, inner_steps=400, regularization=LAMBDA, **settings)
    learner = learner_of(Quadratic(theta), algorithm, loss="mean_squared_error")
    return learner, Task(support, query), hessian, phi, gradient


def test_on_a_quadratic_the_inner_loop_ends_at_the_minimum_of_the_proximal_loss():
    learner, task, _, phi, _ = on_quadratic()
    torch.testing.assert_close(learner.adapt(task.support)["w"], phi, rtol=1e-9, atol=1e-9)


def test_on_a_quadratic_the_meta_gradient_has_its_closed_form():
    """(I + H/λ)⁻¹ g; four steps solve four dimensions, and a fifth changes nothing."""
    learner, task, hessian, _, gradient = on_quadratic(cg_steps=5)
    expected = torch.linalg.solve(torch.eye(4, dtype=torch.float64) + hessian / LAMBDA, gradient)
    torch.testing.assert_close(outcome_of(learner, task).gradient["theta"]["w"], expected, rtol=1e-9, atol=1e-9)


def test_the_damping_of_the_official_code_solves_its_equation():
    """((1 + 1) I + H/(λ + 10)) x = g."""
    learner, task, hessian, _, gradient = on_quadratic(identity_damping=1.0, hessian_damping=10.0)
    damped = 2 * torch.eye(4, dtype=torch.float64) + hessian / (LAMBDA + 10)
    found = outcome_of(learner, task).gradient["theta"]["w"]
    torch.testing.assert_close(found, torch.linalg.solve(damped, gradient), rtol=1e-9, atol=1e-9)


def test_without_a_step_of_conjugate_gradient_it_is_the_gradient_where_the_inner_loop_ends():
    learner, task, _, _, gradient = on_quadratic(cg_steps=0)
    torch.testing.assert_close(outcome_of(learner, task).gradient["theta"]["w"], gradient, rtol=1e-9, atol=1e-9)


def proximal(theta: Params, support: Examples, steps: int, lr: float, regularization: float) -> nn.Module:
    """torch's SGD on the whole proximal loss."""
    net = plain_adapt(smooth_net(), support, steps=0, lr=lr, theta=theta)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        distance = sum(((p - theta[name].detach()) ** 2).sum() for name, p in net.named_parameters())
        (F.cross_entropy(net(support.x), support.y) + regularization / 2 * distance).backward()
        optimizer.step()
    return net


def test_at_the_minimum_the_meta_gradient_is_the_derivative_of_the_query_loss_there():
    """With λ = 5 and α = 0.1 a step leaves half of the distance or so: a hundred reach the minimum."""
    task = smooth_task()
    learner = learner_of(smooth_net(), IMAML(inner_lr=0.1, inner_steps=100, regularization=5.0, cg_steps=30))
    theta, outcome = learner.meta.learned["theta"], outcome_of(learner, task)

    def loss(theta: Params) -> float:
        return F.cross_entropy(proximal(theta, task.support, 100, 0.1, 5.0)(task.query.x), task.query.y).item()

    assert outcome.loss.item() == pytest.approx(loss(theta), rel=1e-10)
    for number in range(2):
        direction = unit_direction(theta, seed(number))
        expected = central_difference(loss, theta, direction)
        assert inner_product(outcome.gradient["theta"], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("norm", ["support", "per_step"])
def test_hardly_held_and_without_conjugate_gradient_it_is_first_order_maml_with_its_statistics(norm: str):
    task = smooth_task()
    ours = learner_of(smooth_net(), IMAML(inner_lr=0.2, inner_steps=3, regularization=1e-13, cg_steps=0), norm=norm)
    maml = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=3, order=1), norm=norm)
    found, expected = (outcome_of(learner, task) for learner in (ours, maml))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_its_graphs_take_no_more_memory_for_more_inner_steps():
    few, many = (
        held_bytes(learner_of(smooth_net(), IMAML(inner_lr=0.1, inner_steps=steps)), smooth_task()) for steps in (1, 30)
    )
    assert few == many > 0


def test_conjugate_gradients_solve_as_many_equations_as_steps_and_zero_is_solved_by_zero():
    """Over two named tensors, as one vector of five."""
    root = torch.randn(5, 5, generator=seed(0), dtype=torch.float64)
    matrix = root @ root.T + torch.eye(5, dtype=torch.float64)

    def product(v: Params) -> Params:
        image = matrix @ torch.cat([v["a"], v["b"].flatten()])
        return {"a": image[:3], "b": image[3:].view(1, 2)}

    for right in (torch.randn(5, generator=seed(1), dtype=torch.float64), torch.zeros(5, dtype=torch.float64)):
        found = conjugate_gradient(product, {"a": right[:3], "b": right[3:].view(1, 2)}, 7)
        solved = torch.linalg.solve(matrix, right)
        torch.testing.assert_close(torch.cat([found["a"], found["b"][0]]), solved, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regularization": 0.0}, "expected a positive λ"),
        ({"cg_steps": -1}, "cg_steps"),
        ({"inner_steps": 0}, "inner_steps=0: expected 1 or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        IMAML(inner_lr=0.1, **settings)
