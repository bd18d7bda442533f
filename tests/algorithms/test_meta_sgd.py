import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import central_difference, inner_product, seed, smooth_net, smooth_task, unit_direction
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.meta_sgd import MetaSGD
from fewstep.core import Params, Task
from fewstep.learner import Learner, learner_of


def plain_loss(theta: Params, rates: Params, task: Task, steps: int) -> Tensor:
    """L_query after `steps` of θ ← θ − α ∘ ∇L on the module, by hand."""
    net = smooth_net()
    net.load_state_dict({name: value.detach() for name, value in theta.items()}, strict=False)
    for _ in range(steps):
        net.zero_grad()
        F.cross_entropy(net(task.support.x), task.support.y).backward()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter -= rates[name] * parameter.grad
    return F.cross_entropy(net(task.query.x), task.query.y)


def learner(**settings: object) -> Learner:
    return learner_of(smooth_net(), MetaSGD(**settings))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("group", ["theta", "inner_lr"])
def test_both_gradients_are_derivatives_of_the_loss_after_an_inner_loop_of_plain_torch(group: str, steps: int):
    task, ours = smooth_task(), learner(inner_steps=steps, least_inner_lr=-0.3, largest_inner_lr=0.5)
    learned = ours.meta.learned
    outcome = ours.algorithm.meta_gradient(ours.model, ours.meta, task, 0)

    def loss(params: Params) -> float:
        at = {**learned, group: params}
        return plain_loss(at["theta"], at["inner_lr"], task, steps).item()

    assert outcome.loss.item() == pytest.approx(loss(learned[group]), rel=1e-10)
    for number in range(3):
        direction = unit_direction(learned[group], seed(number))
        expected = central_difference(loss, learned[group], direction)
        assert inner_product(outcome.gradient[group], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_after_one_step_the_gradient_of_a_rate_is_minus_the_product_of_both_gradients_at_its_element(order: int):
    """φ = θ − α ∘ g_support(θ), so ∂L_query/∂α = −g_support ∘ g_query, in either order."""
    task, ours = smooth_task(), learner(order=order)
    outcome = ours.algorithm.meta_gradient(ours.model, ours.meta, task, 0)
    before, after = smooth_net(), smooth_net()
    after.load_state_dict({name: value.detach() for name, value in ours.adapt(task.support).items()}, strict=False)
    F.cross_entropy(before(task.support.x), task.support.y).backward()
    F.cross_entropy(after(task.query.x), task.query.y).backward()
    expected = {name: -p.grad * after.get_parameter(name).grad for name, p in before.named_parameters()}
    torch.testing.assert_close(outcome.gradient["inner_lr"], expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("order", [1, 2])
def test_where_all_rates_are_the_same_it_is_maml(order: int):
    task = smooth_task()
    maml = learner_of(smooth_net(), MAML(inner_lr=0.25, inner_steps=2, order=order))
    ours = learner(inner_steps=2, order=order, least_inner_lr=0.25, largest_inner_lr=0.25)
    found, expected = (
        one.algorithm.meta_gradient(one.model, one.meta, task, 0).gradient["theta"] for one in (ours, maml)
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_rates_start_uniformly_in_their_range_by_the_seed_alone():
    """Of 10000 numbers, the mean of U(a, b) is off by 0.0003 in one standard deviation: (b − a)/√12/100."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 400))
    first, again, other = (learner_of(net, MetaSGD(), seed=number).meta.learned["inner_lr"] for number in (0, 0, 1))
    drawn = first["1.weight"]
    assert 0.005 <= drawn.min() < 0.006
    assert 0.099 < drawn.max() <= 0.1
    assert drawn.mean().item() == pytest.approx(0.0525, abs=0.0012)
    assert torch.equal(drawn, again["1.weight"])
    assert not torch.equal(drawn, other["1.weight"])


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="expected a range"):
        MetaSGD(least_inner_lr=0.2)
    with pytest.raises(ValueError, match="inner_steps=0: expected 1 or more"):
        MetaSGD(inner_steps=0)
