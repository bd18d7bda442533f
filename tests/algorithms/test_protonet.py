import copy
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import NORMS, image_splits, smooth_net, smooth_task
from fewstep.algorithms.protonet import ProtoNet
from fewstep.auditing import audit
from fewstep.core import Examples
from fewstep.evaluation import Evaluation, evaluate
from fewstep.learner import learner_of
from head_builders import OUTER_LOSS_NORMS, assert_whole_gradient, body_outputs

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def plain_logits(net: nn.Module, support: Examples, query_x: Tensor, norm: str, temperature: float = 1.0) -> Tensor:
    """−‖f(x) − c_k‖²/τ by loops over queries and classes, c_k the mean of a class's embeddings; torch alone."""
    features, queries = body_outputs(net, support, query_x, norm)
    means = [features[support.y == k].mean(0) for k in range(int(support.y.max()) + 1)]
    return torch.stack([torch.stack([-(q - c).square().sum() / temperature for c in means]) for q in queries])


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_probabilities_are_those_of_squared_distances_to_the_class_means(norm: str, temperature: float):
    task = smooth_task(shots=3)
    learner = learner_of(smooth_net(), ProtoNet(temperature=temperature), norm=norm)
    found = learner.predict(learner.adapt(task.support), task.query.x).softmax(-1)
    expected = plain_logits(smooth_net(), task.support, task.query.x, norm, temperature).softmax(-1)
    torch.testing.assert_close(found, expected, **EXACT)


def test_the_adapted_head_is_the_users_own_layer_of_as_many_ways_as_the_support_set():
    """On features of the plane: class means (2, 0), (0, 4), (−1, −1); weights twice those, biases minus the squares."""
    net = nn.Sequential(OrderedDict(body=nn.Identity(), scale=nn.Linear(2, 2, bias=False), mine=nn.Linear(2, 7)))
    nn.init.eye_(net.scale.weight)
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 4.0], [-1.0, -1.0]])
    phi = learner_of(net, ProtoNet()).adapt(Examples(x, torch.tensor([0, 0, 1, 2])))
    assert phi["mine.weight"].tolist() == [[4, 0], [0, 8], [-2, -2]]
    assert phi["mine.bias"].tolist() == [-4, -16, -2]
    assert set(phi) == {"scale.weight", "mine.weight", "mine.bias"}


@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_the_meta_gradient_is_the_derivative_through_the_prototypes(norm: str):
    learner = learner_of(smooth_net(), ProtoNet(temperature=1.5), norm=norm)

    def logits(net: nn.Module, task, learned) -> Tensor:
        return plain_logits(net, task.support, task.query.x, norm, 1.5)

    assert_whole_gradient(learner, logits)


def test_the_head_may_be_another_layer_than_the_last_linear_one():
    net = smooth_net()
    named = learner_of(net, ProtoNet(head="4"))
    assert set(named.meta.learned["theta"]) == {"0.weight", "1.weight", "1.bias"}
    with pytest.raises(ValueError, match=r"expected an nn\.Linear with a bias"):
        learner_of(net, ProtoNet(head="0"))


@pytest.mark.parametrize("head", [nn.Linear(27, 3, bias=False), nn.Linear(27, 3).requires_grad_(False)])
def test_a_head_that_has_no_bias_or_is_frozen_is_refused(head: nn.Module):
    net = nn.Sequential(*list(smooth_net())[:-1], head.double())
    with pytest.raises(ValueError, match=r"expected an nn\.Linear with a bias that requires a gradient"):
        learner_of(net, ProtoNet())


def test_a_regression_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match="the loss is 'mean_squared_error': take mean_cross_entropy"):
        learner_of(smooth_net(), ProtoNet(), loss="mean_squared_error")


def test_a_net_that_does_something_behind_its_head_is_refused():
    task, net = smooth_task(), nn.Sequential(smooth_net(), nn.LogSoftmax(-1))
    with pytest.raises(ValueError, match=r"does something behind '0\.4', which was taken for its head"):
        learner_of(net, ProtoNet()).checked(task, 3)


def test_a_support_set_that_lacks_a_class_in_between_is_refused():
    task = smooth_task()
    gap = Examples(task.support.x, task.support.y * 2)
    with pytest.raises(ValueError, match="class 1 of 0 to 4 has no example"):
        learner_of(smooth_net(), ProtoNet()).adapt(gap)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"temperature=0\.0: expected more than 0"):
        ProtoNet(temperature=0.0)


@pytest.mark.parametrize("norm", NORMS)
def test_further_steps_change_nothing_in_a_head_that_is_made_at_once(norm: str):
    tasks = image_splits().test
    learner = learner_of(smooth_net().float(), ProtoNet(), norm=norm)
    scores = evaluate(learner, tasks, Evaluation(tasks=4, steps=2)).at_step
    assert scores[0] == scores[1] == scores[2]


def test_the_audit_measures_the_whole_gradient_and_says_through_what():
    card = audit(learner_of(smooth_net(), ProtoNet(), norm="support"), image_splits())
    order = card.checks[0].finding
    assert order.startswith("2, measured: the whole gradient of the query loss, through the head (error")
    assert (card.order, {check.verdict for check in card.checks}) == (2, {"ok"})


class HoldsItsHead(ProtoNet):
    """A planted bug: prototypes that send no gradient back."""

    def start(self, model, meta, support):
        inner = ProtoNet.start(self, model, meta, support)
        phi = {name: value.detach() if name.startswith("4.") else value for name, value in inner.phi.items()}
        return inner._replace(phi=phi)


def test_prototypes_without_a_gradient_are_found_by_the_audit():
    card = audit(learner_of(smooth_net(), HoldsItsHead(), norm="none"), image_splits())
    assert not card.passed
    assert card.checks[0].finding.startswith("1 measured, 2 claimed")


def test_zero_shot_of_the_nets_own_head_plays_no_part():
    """Whatever the head was built with, the outcome is the same."""
    task, net = smooth_task(), smooth_net()
    other = copy.deepcopy(net)
    nn.init.normal_(other[4].weight)
    found, expected = (
        learner.predict(learner.adapt(task.support), task.query.x)
        for learner in (learner_of(net, ProtoNet()), learner_of(other, ProtoNet()))
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert F.cross_entropy(found, task.query.y).isfinite()
