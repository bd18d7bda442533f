import math

import pytest
import torch
from torch import Tensor, nn

from builders import smooth_net, smooth_task
from fewstep.algorithms.matching_net import MatchingNet
from fewstep.core import Examples
from fewstep.learner import learner_of
from head_builders import OUTER_LOSS_NORMS, assert_whole_gradient, body_outputs


def plain_probabilities(net: nn.Module, support: Examples, query_x: Tensor, norm: str, scale: float) -> Tensor:
    """Eq. 1 by loops over queries and support examples; torch alone."""
    features, queries = body_outputs(net, support, query_x, norm)
    rows = []
    for q in queries:
        weights = [torch.exp(scale * (q @ f) / (q.norm() * f.norm())) for f in features]
        of_class = [sum(w for w, y in zip(weights, support.y, strict=True) if y == k) for k in range(3)]
        rows.append(torch.stack(of_class) / sum(weights))
    return torch.stack(rows)


@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_probabilities_are_those_of_attention_by_cosines(norm: str, scale: float):
    task = smooth_task(shots=3)
    learner = learner_of(smooth_net(), MatchingNet(scale=scale), norm=norm)
    found = learner.predict(learner.adapt(task.support), task.query.x)
    expected = plain_probabilities(smooth_net(), task.support, task.query.x, norm, scale)
    torch.testing.assert_close(found.exp(), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.softmax(-1), expected, rtol=1e-10, atol=1e-12)


def test_on_the_plane_it_is_what_one_computes_by_hand():
    """Support (1, 0) of class 0, (0, 2) and (−3, 0) of class 1; query (5, 0): cosines 1, 0, −1."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2))
    nn.init.eye_(net[0].weight)
    learner = learner_of(net, MatchingNet())
    phi = learner.adapt(Examples(torch.tensor([[1.0, 0], [0, 2], [-3, 0]]), torch.tensor([0, 1, 1])))
    found = learner.predict(phi, torch.tensor([[5.0, 0]]))[0].exp()
    e = math.e
    assert found.tolist() == pytest.approx([e / (e + 1 + 1 / e), (1 + 1 / e) / (e + 1 + 1 / e)], rel=1e-6)


@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_the_meta_gradient_is_the_derivative_through_both_embeddings(norm: str):
    learner = learner_of(smooth_net(), MatchingNet(scale=5.0), norm=norm)

    def logits(net: nn.Module, task, learned) -> Tensor:
        return plain_probabilities(net, task.support, task.query.x, norm, 5.0).log()

    assert_whole_gradient(learner, logits)


def test_a_sure_error_has_a_finite_loss_and_gradient():
    """At so large a scale the probability of a class is zero to every float, whose logarithm is not finite."""
    task = smooth_task().to("cpu", torch.float32)
    learner = learner_of(smooth_net().float(), MatchingNet(scale=1e4))
    outcome = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    assert outcome.loss.isfinite()
    assert all(value.isfinite().all() for value in outcome.gradient["theta"].values())


def test_a_head_without_a_bias_will_do_as_it_plays_no_part():
    net = nn.Sequential(*list(smooth_net())[:-1], nn.Linear(27, 3, bias=False).double())
    learner, task = learner_of(net, MatchingNet()), smooth_task()
    assert learner.predict(learner.adapt(task.support), task.query.x).shape == (6, 3)


def test_a_scale_of_zero_and_a_regression_are_refused():
    with pytest.raises(ValueError, match=r"scale=0\.0: expected more than 0"):
        MatchingNet(scale=0.0)
    with pytest.raises(ValueError, match="take mean_cross_entropy"):
        learner_of(smooth_net(), MatchingNet(), loss="mean_squared_error")
