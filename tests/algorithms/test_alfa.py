import pytest
import torch
import torch.nn.functional as F
from torch import nn

from builders import central_difference, inner_product, plain_adapt, seed, smooth_net, smooth_task, unit_direction
from fewstep.algorithms.alfa import ALFA
from fewstep.algorithms.maml import MAML
from fewstep.core import Examples, Meta, Params
from fewstep.learner import Learner, learner_of

STEPS = 3
GROUPS = ("theta", "inner_lr", "decay", "generator")


def learner(**settings: object) -> Learner:
    """Its numbers of every step and tensor moved apart, rates about 0.2 and decays about 0.1."""
    ours = learner_of(smooth_net(), ALFA(inner_lr=0.2, inner_steps=STEPS, weight_decay=0.5, **settings))
    learned = {group: dict(params) for group, params in ours.meta.learned.items()}
    for group in ("inner_lr", "decay"):
        learned[group] = {
            name: value * (1 + 0.1 * torch.arange(STEPS) + 0.05 * i)
            for i, (name, value) in enumerate(learned[group].items())
        }
    return Learner(model=ours.model, algorithm=ours.algorithm, meta=Meta(learned, ours.meta.state))


def plain_alfa(learned: dict[str, Params], support: Examples, steps: int) -> nn.Module:
    """The inner loop on the module, its rates and decays by torch's own layers."""
    net, names = plain_adapt(smooth_net(), support, steps=0, lr=0.0, theta=learned["theta"]), list(learned["theta"])
    generator = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10)).double()
    psi = {name.replace("hidden", "0").replace("output", "2"): value for name, value in learned["generator"].items()}
    generator.load_state_dict({name: value.detach() for name, value in psi.items()})
    for i in range(steps):
        net.zero_grad()
        F.cross_entropy(net(support.x), support.y).backward()
        with torch.no_grad():
            parameters = [net.get_parameter(name) for name in names]
            state = [*(p.mean() for p in parameters), *(p.grad.mean() for p in parameters)]
            factors = generator(torch.stack(state))
            row = min(i, STEPS - 1)
            for layer, (name, p) in enumerate(zip(names, parameters, strict=True)):
                alpha = factors[layer] * learned["inner_lr"][name][row]
                beta = 1 - factors[5 + layer] * learned["decay"][name][row]
                p.copy_(beta * p - alpha * p.grad)
    net.zero_grad()
    return net


@pytest.mark.parametrize("steps", [1, STEPS, STEPS + 2])
def test_the_inner_loop_is_that_of_plain_torch_and_steps_beyond_the_last_reuse_its_numbers(steps: int):
    ours, support = learner(), smooth_task().support
    expected = dict(plain_alfa(ours.meta.learned, support, steps).named_parameters())
    phi = ours.adapt(support, steps)
    torch.testing.assert_close(phi, {name: expected[name].detach() for name in phi}, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("group", GROUPS)
def test_the_gradient_by_all_that_is_learned_is_the_derivative_of_the_loss(group: str):
    ours, task = learner(), smooth_task()
    learned = ours.meta.learned
    outcome = ours.algorithm.meta_gradient(ours.model, ours.meta, task, 0)

    def loss(params: Params) -> float:
        net = plain_alfa({**learned, group: params}, task.support, STEPS)
        return F.cross_entropy(net(task.query.x), task.query.y).item()

    assert outcome.loss.item() == pytest.approx(loss(learned[group]), rel=1e-10)
    for number in range(2):
        direction = unit_direction(learned[group], seed(number))
        expected = central_difference(loss, learned[group], direction)
        assert inner_product(outcome.gradient[group], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_with_a_generator_of_ones_and_no_decay_it_is_maml():
    task = smooth_task()
    ours = learner_of(smooth_net(), ALFA(inner_lr=0.2, inner_steps=2, weight_decay=0.0))
    for name in ("hidden.weight", "output.weight"):
        ours.meta.learned["generator"][name].data.zero_()
    maml = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=2))
    found, expected = (
        one.algorithm.meta_gradient(one.model, one.meta, task, 0).gradient["theta"] for one in (ours, maml)
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_what_is_learned_starts_where_the_settings_say():
    ours = learner_of(smooth_net(), ALFA(inner_lr=0.2, inner_steps=2, weight_decay=0.05)).meta.learned
    assert {name: value.tolist() for name, value in ours["inner_lr"].items()} == dict.fromkeys(ours["theta"], [0.2] * 2)
    decays = [number for value in ours["decay"].values() for number in value.tolist()]
    assert decays == pytest.approx([0.01] * 10)
    shapes = {name: tuple(value.shape) for name, value in ours["generator"].items()}
    assert shapes == {
        "hidden.weight": (10, 10),
        "hidden.bias": (10,),
        "output.weight": (10, 10),
        "output.bias": (10,),
    }
    assert ours["generator"]["output.bias"].tolist() == [1.0] * 10
    assert 0.25 < ours["generator"]["hidden.weight"].abs().max() <= 10**-0.5
