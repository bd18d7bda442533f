import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import (
    central_difference,
    image_splits,
    inner_product,
    plain_adapt,
    plain_net,
    plain_outputs,
    seed,
    smooth_net,
    smooth_task,
    unit_direction,
)
from fewstep.algorithms.proto_maml import ProtoMAML
from fewstep.algorithms.protonet import ProtoNet
from fewstep.auditing import audit
from fewstep.core import Examples, Params, Task
from fewstep.learner import learner_of
from head_builders import OUTER_LOSS_NORMS, assert_whole_gradient, body_outputs


def with_prototypes(net: nn.Module, support: Examples, norm: str) -> nn.Module:
    """A copy whose head holds 2c and −‖c‖², c the class means of the embeddings; torch alone."""
    features, _ = body_outputs(net, support, support.x, norm)
    means = torch.stack([features[support.y == k].mean(0) for k in range(3)]).detach()
    net = copy.deepcopy(net)
    net[4].load_state_dict({"weight": 2 * means, "bias": -(means**2).sum(1)})
    return net


def plain_logits(net: nn.Module, task: Task, norm: str, steps: int) -> Tensor:
    """torch's own SGD from the prototypes on."""
    adapted = plain_adapt(plain_net(with_prototypes(net, task.support, norm), norm), task.support, steps=steps, lr=0.3)
    return plain_outputs(adapted, task.support, task.query.x, norm)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_second_order_is_the_derivative_through_the_steps_and_the_prototypes(norm: str, steps: int):
    learner = learner_of(smooth_net(), ProtoMAML(inner_lr=0.3, inner_steps=steps), norm=norm)
    assert_whole_gradient(learner, lambda net, task, _: plain_logits(net, task, norm, steps))


@pytest.mark.parametrize("norm", ["transductive", "none"])
def test_first_order_is_the_derivative_of_the_loss_with_steps_that_stay_and_prototypes_that_move(norm: str):
    """θ ↦ L_query(φ_S + φ_0(θ) − φ_0(θ₀))."""
    task = smooth_task()
    learner = learner_of(smooth_net(), ProtoMAML(inner_lr=0.3, inner_steps=2, order=1), norm=norm)
    outcome = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)

    def start_of(theta: Params) -> dict[str, Tensor]:
        net = smooth_net()
        net.load_state_dict({name: value.detach() for name, value in theta.items()}, strict=False)
        return dict(plain_net(with_prototypes(net, task.support, norm), norm).named_parameters())

    theta = learner.meta.learned["theta"]
    at_first = start_of(theta)
    net = plain_net(with_prototypes(smooth_net(), task.support, norm), norm)
    adapted = plain_adapt(net, task.support, steps=2, lr=0.3)

    def loss(theta: Params) -> float:
        now, moved = start_of(theta), copy.deepcopy(adapted)
        for name, parameter in moved.named_parameters():
            parameter.data += now[name].data - at_first[name].data
        return F.cross_entropy(plain_outputs(moved, task.support, task.query.x, norm), task.query.y).item()

    for number in range(3):
        direction = unit_direction(theta, seed(number))
        expected = central_difference(loss, theta, direction)
        assert inner_product(outcome.gradient["theta"], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_no_inner_step_is_a_prototypical_network(norm: str):
    task = smooth_task()
    found, expected = (
        learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)
        for learner in (
            learner_of(smooth_net(), algorithm, norm=norm)
            for algorithm in (ProtoMAML(inner_lr=0.3, inner_steps=0), ProtoNet())
        )
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_a_rate_of_its_own_keeps_the_body_as_it_is():
    """ANIL from prototypes: the rate of all but the head is zero."""
    learner, task = learner_of(smooth_net(), ProtoMAML(inner_lr=0.0, inner_lr_of=(("4.", 0.3),))), smooth_task()
    phi = learner.adapt(task.support)
    theta, start = learner.meta.learned["theta"], learner.adapt(task.support, steps=0)
    assert all(torch.equal(phi[name], theta[name]) for name in theta)
    assert not torch.allclose(phi["4.weight"], start["4.weight"], rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("norm", ["transductive", "support"])
def test_the_audit_tells_the_orders_apart(norm: str, order: int):
    learner = learner_of(smooth_net(), ProtoMAML(inner_lr=0.3, inner_steps=2, order=order), norm=norm)
    card = audit(learner, image_splits(noise=90))
    assert (card.order, card.passed) == (order, True)
    assert card.checks[0].finding.startswith(f"{order}, measured (")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"inner_steps": -1}, "expected 0 or more"),
        ({"order": 3}, "expected 1"),
        ({"inner_lr_of": (("fc", 1.0),)}, "fc"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields, words: str):
    with pytest.raises(ValueError, match=words):
        learner_of(smooth_net(), ProtoMAML(inner_lr=0.3, **fields))
