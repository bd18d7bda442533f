import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from builders import (
    NORMS,
    RULES,
    RULES_AND_NORMS,
    central_difference,
    image_splits,
    inner_product,
    plain_adapt,
    plain_loss,
    plain_net,
    plain_outputs,
    seed,
    smooth_net,
    smooth_task,
    unit_direction,
)
from fewstep.algorithms.maml import MAML
from fewstep.core import Examples, Params, Task
from fewstep.inner.adagrad import Adagrad
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.training import Training, outer_optimizer, updates

EXACT = {"rtol": 1e-12, "atol": 1e-12}


class Scaled(nn.Module):
    """x ↦ c x·w; with c = 1/√2, target 0 and the mean squared error, one example's loss is ½ (x·w)²."""

    def __init__(self, w: Tensor, c: float = 1.0) -> None:
        super().__init__()
        self.w, self.c = nn.Parameter(w.clone()), c

    def forward(self, x: Tensor) -> Tensor:
        return (self.c * x @ self.w)[:, None]


class HalfUsed(nn.Module):
    """A net with a parameter that no forward reads and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.body = smooth_net()
        self.unused = nn.Parameter(torch.ones(4, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.tensor(1.5, dtype=torch.float64), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen * self.body(x)


def one_example(*x: float) -> Examples:
    return Examples(torch.tensor([x], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))


def random_regression(generator: torch.Generator) -> Examples:
    return Examples(
        torch.randn(6, 4, generator=generator, dtype=torch.float64),
        torch.randn(6, 1, generator=generator, dtype=torch.float64),
    )


def outer_loss(learner: Learner, task: Task, rule: str, steps: int, lr: float | Params, theta: Params) -> float:
    """The loss that MAML descends, without fewstep: torch's optimizer on the module, torch's norms."""
    net = plain_net(smooth_net(), learner.model.norm)
    net = plain_adapt(net, task.support, steps=steps, lr=lr, rule=rule, theta=theta)
    return plain_loss("mean_cross_entropy")(
        plain_outputs(net, task.support, task.query.x, learner.model.norm), task.query.y
    ).item()


def test_second_order_on_the_quadratic_is_what_one_computes_by_hand():
    """L = ½(x·w)², ∇L = (x·w) x.

    support [1,2,3]: x·w = 23, L = 264.5, w' = w − ½·23·[1,2,3] = [−9.5, −20, −29.5].
    query [4,5,6]: x·w' = −315, L = 49612.5, ∇ = (I − ½ s sᵀ)(−315 q) = −315 (q − 16 s) = [3780, 8505, 13230].
    """
    net = Scaled(torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64), c=0.5**0.5)
    task = Task(one_example(1, 2, 3), one_example(4, 5, 6))
    learner = learner_of(net, MAML(inner_lr=0.5), loss="mean_squared_error")
    outcome = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    support_loss = learner.model.support_loss(learner.meta.learned["theta"], task.support).item()
    assert support_loss == pytest.approx(264.5, rel=1e-12)
    assert learner.adapt(task.support)["w"].tolist() == pytest.approx([-9.5, -20, -29.5], rel=1e-12)
    assert outcome.loss.item() == pytest.approx(49612.5, rel=1e-12)
    assert outcome.gradient["theta"]["w"].tolist() == pytest.approx([3780, 8505, 13230], rel=1e-12)


def test_first_order_on_the_quadratic_is_what_one_computes_by_hand():
    """support [4,5,6]: x·w = 53, w' = [−104, −129.5, −154]; query [1,2,3]: x·w' = −825, ∇ = −825 [1,2,3]."""
    net = Scaled(torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64), c=0.5**0.5)
    task = Task(one_example(4, 5, 6), one_example(1, 2, 3))
    learner = learner_of(net, MAML(inner_lr=0.5, order=1), loss="mean_squared_error")
    outcome = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    assert outcome.loss.item() == pytest.approx(340312.5, rel=1e-12)
    assert outcome.gradient["theta"]["w"].tolist() == pytest.approx([-825, -1650, -2475], rel=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("order", [1, 2])
def test_on_any_quadratic_a_step_multiplies_the_second_order_gradient_by_one_minus_alpha_h(steps: int, order: int):
    """L(w) = mean (Xw − y)²: H = 2 XᵀX / N, w ← w − α H w + 2α Xᵀy / N, so ∂w_S/∂w = (I − αH)^S."""
    generator, alpha = seed(1), 0.1
    support, query = random_regression(generator), random_regression(generator)
    w = torch.randn(4, generator=generator, dtype=torch.float64)
    hessian = 2 * support.x.T @ support.x / 6
    adapted = w.clone()
    for _ in range(steps):
        adapted = adapted - alpha * (hessian @ adapted - 2 * support.x.T @ support.y[:, 0] / 6)
    gradient = 2 * query.x.T @ (query.x @ adapted - query.y[:, 0]) / 6
    if order == 2:
        gradient = torch.linalg.matrix_power(torch.eye(4, dtype=torch.float64) - alpha * hessian, steps).T @ gradient
    algorithm = MAML(inner_lr=alpha, inner_steps=steps, order=order)
    learner = learner_of(Scaled(w), algorithm, loss="mean_squared_error")
    outcome = algorithm.meta_gradient(learner.model, learner.meta, Task(support, query), 0)
    torch.testing.assert_close(outcome.gradient["theta"]["w"], gradient, **EXACT)


@pytest.mark.parametrize("rule", RULES)
def test_first_order_is_the_plain_gradient_at_a_detached_copy_of_the_adapted_weights(rule: str):
    net, task = smooth_net(), smooth_task()
    algorithm = MAML(inner_lr=0.2, inner_steps=3, order=1, optimizer=RULES[rule].ours)
    learner = learner_of(net, algorithm)
    outcome = algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    adapted = plain_adapt(net, task.support, steps=3, lr=0.2, rule=rule)
    nn.functional.cross_entropy(adapted(task.query.x), task.query.y).backward()
    expected = {name: parameter.grad for name, parameter in adapted.named_parameters()}
    torch.testing.assert_close(outcome.gradient["theta"], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("rule", "norm"), RULES_AND_NORMS)
def test_second_order_is_the_derivative_of_the_loss_after_the_whole_inner_loop(rule: str, steps: int, norm: str):
    task = smooth_task()
    algorithm = MAML(inner_lr=0.2, inner_steps=steps, optimizer=RULES[rule].ours)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    theta, generator = learner.meta.learned["theta"], seed(2)
    outcome = algorithm.meta_gradient(learner.model, learner.meta, task, 0)

    def loss(theta: Params) -> float:
        return outer_loss(learner, task, rule, steps, 0.2, theta)

    assert outcome.loss.item() == pytest.approx(loss(theta), rel=1e-10)
    for _ in range(4):
        direction = unit_direction(theta, generator)
        expected = central_difference(loss, theta, direction)
        assert inner_product(outcome.gradient["theta"], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_first_order_is_the_derivative_of_the_loss_with_adapted_weights_that_move_rigidly(norm: str):
    """Statistics of the support set are functions of φ, so they move too: θ ↦ L_query(φ + θ − θ₀)."""
    task, net = smooth_task(), plain_net(smooth_net(), norm)
    algorithm = MAML(inner_lr=0.2, inner_steps=2, order=1)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    outcome = algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    adapted = plain_adapt(net, task.support, steps=2, lr=0.2)
    phi = {name: parameter.detach() for name, parameter in adapted.named_parameters()}
    direction = unit_direction(phi, seed(3))

    def loss(phi: Params) -> float:
        moved = plain_adapt(net, task.support, steps=0, lr=0.2, theta=phi)
        return nn.functional.cross_entropy(plain_outputs(moved, task.support, task.query.x, norm), task.query.y).item()

    expected = central_difference(loss, phi, direction)
    assert inner_product(outcome.gradient["theta"], direction) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_of_a_learned_rate_after_one_step_is_minus_the_product_of_both_gradients(order: int):
    """φ = θ − α g_support, so ∂L_query/∂α = −⟨g_support(θ), g_query(φ)⟩ for every tensor, in either order."""
    net, task = smooth_net(), smooth_task()
    algorithm = MAML(inner_lr=0.2, order=order, learn_inner_lr=True)
    learner = learner_of(net, algorithm)
    outcome = algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    before, after = copy.deepcopy(net), plain_adapt(net, task.support, steps=1, lr=0.2)
    nn.functional.cross_entropy(before(task.support.x), task.support.y).backward()
    nn.functional.cross_entropy(after(task.query.x), task.query.y).backward()
    expected = {
        name: -(parameter.grad * after.get_parameter(name).grad).sum() for name, parameter in before.named_parameters()
    }
    assert all(value != 0 for value in expected.values())
    torch.testing.assert_close(outcome.gradient["inner_lr"], expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("rule", "norm"), RULES_AND_NORMS)
def test_learned_rates_in_second_order_pass_finite_differences(rule: str, norm: str):
    task = smooth_task()
    algorithm = MAML(inner_lr=0.2, inner_steps=3, optimizer=RULES[rule].ours, learn_inner_lr=True)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    rates = learner.meta.learned["inner_lr"]
    outcome = algorithm.meta_gradient(learner.model, learner.meta, task, 0)

    def loss(rates: Params) -> float:
        return outer_loss(learner, task, rule, 3, rates, learner.meta.learned["theta"])

    for name, rate in rates.items():
        direction = {other: torch.full_like(rate, float(other == name)) for other in rates}
        expected = central_difference(loss, rates, direction)
        assert outcome.gradient["inner_lr"][name].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_learned_rates_in_first_order_have_a_gradient_after_several_steps(rule: str):
    algorithm = MAML(inner_lr=0.2, inner_steps=3, order=1, optimizer=RULES[rule].ours, learn_inner_lr=True)
    learner = learner_of(smooth_net(), algorithm)
    outcome = algorithm.meta_gradient(learner.model, learner.meta, smooth_task(), 0)
    assert set(outcome.gradient["inner_lr"]) == set(outcome.gradient["theta"])
    assert all(gradient.isfinite() and gradient != 0 for gradient in outcome.gradient["inner_lr"].values())


@pytest.mark.parametrize("learn_inner_lr", [False, True])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_parameters_that_no_forward_reads_get_zeros_never_none(rule: str, order: int, learn_inner_lr: bool):
    algorithm = MAML(
        inner_lr=0.2, inner_steps=2, order=order, optimizer=RULES[rule].ours, learn_inner_lr=learn_inner_lr
    )
    learner = learner_of(HalfUsed(), algorithm)
    gradient = algorithm.meta_gradient(learner.model, learner.meta, smooth_task(), 0).gradient
    assert gradient["theta"]["unused"].tolist() == [0, 0, 0, 0]
    assert all(value.any() for name, value in gradient["theta"].items() if name != "unused")
    if learn_inner_lr:
        assert gradient["inner_lr"]["unused"].item() == 0


def test_frozen_parameters_are_used_but_neither_adapted_nor_learned():
    tasks = image_splits().train
    learner = learner_of(HalfUsed().float(), MAML(inner_lr=0.2))
    support = tasks.sample(0, "train", 0, 1).select(0).support
    training = Training(updates=2, meta_batch=2)
    with Workers(learner.model, Mapping()) as workers:
        for _ in updates(learner, tasks, training, outer_optimizer(learner.meta, training), workers):
            pass
    assert "frozen" not in learner.meta.learned["theta"]
    assert "frozen" not in learner.adapt(support)
    assert learner.model.net.frozen.item() == 1.5
    phi = learner.adapt(support)
    logits = learner.predict(phi, support.x)
    body = plain_adapt(smooth_net().float(), support, steps=0, lr=0.0, theta=_without_prefix(phi))
    torch.testing.assert_close(logits, 1.5 * body(support.x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_no_inner_step_leaves_the_plain_gradient(order: int):
    net, task = smooth_net(), smooth_task()
    algorithm = MAML(inner_lr=0.2, inner_steps=0, order=order)
    learner = learner_of(net, algorithm)
    outcome = algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    plain = copy.deepcopy(net)
    nn.functional.cross_entropy(plain(task.query.x), task.query.y).backward()
    expected = {name: parameter.grad for name, parameter in plain.named_parameters()}
    torch.testing.assert_close(outcome.gradient["theta"], expected, **EXACT)


def test_the_logits_and_the_loss_are_those_of_the_queries_at_the_adapted_weights():
    net, task = smooth_net(), smooth_task(queries=3)
    algorithm = MAML(inner_lr=0.2, inner_steps=2, optimizer=Adagrad())
    learner = learner_of(net, algorithm)
    outcome = algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    expected = plain_adapt(net, task.support, steps=2, lr=0.2, rule="adagrad-inside")(task.query.x)
    torch.testing.assert_close(outcome.logits, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(outcome.loss, nn.functional.cross_entropy(expected, task.query.y), **EXACT)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="order=3"):
        MAML(inner_lr=0.1, order=3)
    with pytest.raises(ValueError, match="inner_steps=-1"):
        replace(MAML(inner_lr=0.1), inner_steps=-1)


def _without_prefix(phi: Params) -> Params:
    return {name.removeprefix("body."): value for name, value in phi.items()}
