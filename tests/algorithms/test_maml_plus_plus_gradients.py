"""The meta-gradients of MAML++, against finite differences of the same loss computed by plain torch."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import (
    NORMS,
    RULES,
    central_difference,
    inner_product,
    plain_net,
    plain_outputs,
    seed,
    smooth_net,
    smooth_task,
    unit_direction,
)
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.core import Examples, Meta, MetaGradient, Params, Task
from fewstep.inner.loop import inner_states
from fewstep.learner import Learner, learner_of

STEPS = 3
WEIGHTS = (0.25, 0.25, 0.5)
"""Of S = 3, E = 4, e = 1: 1/3 − 1/12 for the first two, 1/3 + 2/12 for the last."""
AT_WEIGHTS = {"multi_step_epochs": 4, "epoch": 10}
UPDATE = 10
"""The first of epoch 1."""
LAST_ALONE = (0.0, 0.0, 1.0)
NORM_NAMES = ("1.weight", "1.bias")


class Learned(NamedTuple):
    """What MAML++ learns: θ without the norms, a rate `[S]` a tensor, rows `[S, C]` of norms."""

    theta: Params
    inner_lr: Params
    norm: Params


def drawn(number: int = 4) -> Learned:
    """θ as built; rates about 0.2 and rows about those of a new norm, all different."""
    theta = {name: value.detach() for name, value in smooth_net().named_parameters()}
    generator = seed(number)
    rows = {
        name: theta.pop(name) + 0.2 * torch.randn(STEPS, 3, generator=generator, dtype=torch.float64)
        for name in NORM_NAMES
    }
    rates = {name: 0.1 + 0.2 * torch.rand(STEPS, generator=generator, dtype=torch.float64) for name in theta}
    return Learned(theta, rates, rows)


def learner_with(learned: Learned, norm: str = "transductive", **settings: object) -> Learner:
    algorithm = MAMLPlusPlus(inner_lr=0.2, inner_steps=STEPS, learn_inner_lr=True, per_step_norm=True, **settings)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    return Learner(model=learner.model, algorithm=algorithm, meta=Meta(learned._asdict(), learner.meta.state))


def outcome(learner: Learner, task: Task, update: int = 0) -> MetaGradient:
    return learner.algorithm.meta_gradient(learner.model, learner.meta, task, update)


def row(rows: Tensor, i: int) -> Tensor:
    return rows[min(i, len(rows) - 1)]


def plain_path(learned: Learned, support: Examples, norm: str, steps: int = STEPS) -> list[nn.Module]:
    """The net after each inner step: torch's gradient descent, with row i of the norms put in by hand at step i."""
    net = plain_net(smooth_net(), norm).train()
    net.load_state_dict({name: value.detach() for name, value in learned.theta.items()}, strict=False)
    parameters, path = dict(net.named_parameters()), []
    for i in range(steps):
        net.load_state_dict({name: row(rows, i).detach() for name, rows in learned.norm.items()}, strict=False)
        gradients = torch.autograd.grad(F.cross_entropy(net(support.x), support.y), [*parameters.values()])
        with torch.no_grad():
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                if name in learned.inner_lr:
                    parameter -= row(learned.inner_lr[name], i) * gradient
        path.append(copy.deepcopy(net))
    return path


def plain_loss(learned: Learned, task: Task, norm: str, weights: Sequence[float]) -> float:
    """Σ_i w_i L_query(φ_i), i = 1, ..., S."""
    losses = [
        F.cross_entropy(plain_outputs(net, task.support, task.query.x, norm), task.query.y).item()
        for net in plain_path(learned, task.support, norm)
    ]
    return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))


def one_hot(like: Params, name: str, index: tuple[int, ...]) -> Params:
    direction = {other: torch.zeros_like(value) for other, value in like.items()}
    direction[name][index] = 1.0
    return direction


@pytest.mark.parametrize("norm", NORMS)
def test_the_multi_step_gradient_is_the_derivative_of_the_weighted_sum_of_losses(norm: str):
    learned, task = drawn(), smooth_task()
    found = outcome(learner_with(learned, norm, **AT_WEIGHTS), task, UPDATE)
    assert found.loss.item() == pytest.approx(plain_loss(learned, task, norm, WEIGHTS), rel=1e-10)
    for group in ("theta", "inner_lr", "norm"):
        at = getattr(learned, group)
        direction = unit_direction(at, seed(5))

        def loss(params: Params, group: str = group) -> float:
            return plain_loss(learned._replace(**{group: params}), task, norm, WEIGHTS)

        expected = central_difference(loss, at, direction)
        assert inner_product(found.gradient[group], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_every_steps_rate_of_every_tensor_has_the_derivative_of_finite_differences():
    learned, task = drawn(), smooth_task()
    found = outcome(learner_with(learned), task).gradient["inner_lr"]

    def loss(rates: Params) -> float:
        return plain_loss(learned._replace(inner_lr=rates), task, "transductive", LAST_ALONE)

    assert set(found) == {"0.weight", "4.weight", "4.bias"}
    for name, rates in learned.inner_lr.items():
        for i in range(STEPS):
            expected = central_difference(loss, learned.inner_lr, one_hot(learned.inner_lr, name, (i,)))
            assert abs(expected) > 1e-6
            assert found[name][i].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert rates.shape == found[name].shape == (STEPS,)


def test_every_row_of_norms_has_the_derivative_of_finite_differences():
    learned, task = drawn(), smooth_task()
    found = outcome(learner_with(learned), task).gradient["norm"]

    def loss(rows: Params) -> float:
        return plain_loss(learned._replace(norm=rows), task, "transductive", LAST_ALONE)

    for name, rows in learned.norm.items():
        assert found[name].shape == rows.shape == (STEPS, 3)
        for i in range(STEPS):
            for channel in range(3):
                expected = central_difference(loss, learned.norm, one_hot(learned.norm, name, (i, channel)))
                assert abs(expected) > 1e-7
                assert found[name][i, channel].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("group", ["inner_lr", "norm"])
@pytest.mark.parametrize("i", range(STEPS))
def test_row_i_is_in_force_from_step_i_on_and_not_before(i: int, group: str):
    """Row 0 of the norms serves the queries at θ too, where no step was taken."""
    learned, task = drawn(), smooth_task()
    changed = {name: value.clone() for name, value in getattr(learned, group).items()}
    for value in changed.values():
        value[i] += 0.1
    paths = []
    for params in (learned, learned._replace(**{group: changed})):
        learner = learner_with(params)
        states = inner_states(learner.algorithm, learner.model, learner.meta, task.support, STEPS)
        paths.append([inner.phi for inner in states])
    first_changed = 0 if (group, i) == ("norm", 0) else i + 1
    for step, (before, after) in enumerate(zip(*paths, strict=True)):
        differs = {name for name in before if not torch.equal(before[name], after[name])}
        assert bool(differs) == (step >= first_changed)
        if group == "inner_lr":
            assert differs <= set(learned.theta)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
def test_the_inner_loop_is_that_of_plain_torch_and_steps_beyond_the_last_row_reuse_it(steps: int):
    learned, task = drawn(), smooth_task()
    phi = learner_with(learned).adapt(task.support, steps)
    if steps:
        expected = dict(plain_path(learned, task.support, "transductive", steps)[-1].named_parameters())
    else:
        expected = {**learned.theta, **{name: rows[0] for name, rows in learned.norm.items()}}
    torch.testing.assert_close(phi, {name: expected[name].detach() for name in phi}, rtol=1e-12, atol=1e-12)
    assert set(phi) == set(expected)


def test_norms_per_step_are_rows_as_built_that_the_inner_loop_never_adapts():
    algorithm = MAMLPlusPlus(inner_lr=0.2, inner_steps=STEPS, per_step_norm=True, learn_inner_lr=True)
    net = smooth_net()
    nn.init.normal_(net[1].weight, generator=seed(0))
    learner = learner_of(net, algorithm)
    rows = learner.meta.learned["norm"]
    torch.testing.assert_close(rows["1.weight"], net[1].weight.expand(STEPS, 3), rtol=0, atol=0)
    assert {name: tuple(value.shape) for name, value in rows.items()} == {"1.weight": (3, 3), "1.bias": (3, 3)}
    assert (
        set(learner.meta.learned["theta"])
        == set(learner.meta.learned["inner_lr"])
        == {"0.weight", "4.weight", "4.bias"}
    )
    phi = learner.adapt(smooth_task().support)
    assert torch.equal(phi["1.weight"], rows["1.weight"][-1])
    assert not torch.equal(phi["4.weight"], net[4].weight)


def test_rates_start_where_their_groups_say():
    algorithm = MAMLPlusPlus(inner_lr=0.2, inner_steps=2, learn_inner_lr=True, inner_lr_of=(("4.", 0.0),))
    rates = learner_of(smooth_net(), algorithm).meta.learned["inner_lr"]
    assert {name: value.tolist() for name, value in rates.items()} == {
        "0.weight": [0.2, 0.2],
        "1.weight": [0.2, 0.2],
        "1.bias": [0.2, 0.2],
        "4.weight": [0.0, 0.0],
        "4.bias": [0.0, 0.0],
    }


@pytest.mark.parametrize("norm", ["transductive", "layer", "none"])
def test_in_first_order_each_query_loss_has_its_plain_gradient_at_its_own_step_and_row(norm: str):
    """Each φ_i moves rigidly with θ, so θ gets Σ w_i g_i, while row i gets w_i g_i alone."""
    learned, task = drawn(), smooth_task()
    found = outcome(learner_with(learned, norm, order=1, **AT_WEIGHTS), task, UPDATE).gradient
    parts: dict[str, list[Tensor]] = {}
    for net, weight in zip(plain_path(learned, task.support, norm), WEIGHTS, strict=True):
        net.zero_grad()
        (weight * F.cross_entropy(net(task.query.x), task.query.y)).backward()
        for name, parameter in net.named_parameters():
            parts.setdefault(name, []).append(parameter.grad)
    theta = {name: sum(parts[name]) for name in learned.theta}
    rows = {name: torch.stack(parts[name]) for name in learned.norm}
    torch.testing.assert_close(found["theta"], theta, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found["norm"], rows, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_in_first_order_every_learned_tensor_has_a_finite_gradient_whatever_the_inner_optimizer(rule: str):
    learner = learner_with(drawn(), first_order_epochs=1, multi_step_epochs=2, optimizer=RULES[rule].ours)
    assert learner.algorithm.order_at(0) == 1
    found = outcome(learner, smooth_task()).gradient
    assert {group: set(params) for group, params in found.items()} == {
        group: set(params) for group, params in learner.meta.learned.items()
    }
    for params in found.values():
        assert all(gradient.isfinite().all() and gradient.any() for gradient in params.values())
    assert all((rates != 0).all() for rates in found["inner_lr"].values())
