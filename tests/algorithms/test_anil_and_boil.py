"""ANIL and BOIL: MAML in which a part of the net stays as it is in the inner loop."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import central_difference, inner_product, plain_adapt, seed, smooth_net, smooth_task, unit_direction
from fewstep.algorithm import Algorithm
from fewstep.algorithms.anil import ANIL
from fewstep.algorithms.boil import BOIL
from fewstep.algorithms.maml import MAML
from fewstep.core import Params
from fewstep.learner import learner_of

BODY_AT_ZERO = (("0.", 0.0), ("1.", 0.0))
HEAD_AT_ZERO = (("4.", 0.0),)
RATES = {
    "ANIL": {"0.weight": 0.0, "1.weight": 0.0, "1.bias": 0.0, "4.weight": 0.2, "4.bias": 0.2},
    "BOIL": {"0.weight": 0.2, "1.weight": 0.2, "1.bias": 0.2, "4.weight": 0.0, "4.bias": 0.0},
}
KINDS = {"ANIL": ANIL, "BOIL": BOIL}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("name", "still"), [("ANIL", BODY_AT_ZERO), ("BOIL", HEAD_AT_ZERO)], ids=["anil, body", "boil, head"]
)
def test_it_is_maml_with_the_other_part_at_rate_zero_bit_for_bit(name: str, still: tuple, order: int):
    task = smooth_task()
    ours = learner_of(smooth_net(), KINDS[name](inner_lr=0.2, inner_steps=3, order=order))
    maml = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=3, order=order, inner_lr_of=still))
    phi, expected = (learner.adapt(task.support) for learner in (ours, maml))
    torch.testing.assert_close(phi, expected, rtol=0, atol=0)
    found, expected = (
        learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0).gradient for learner in (ours, maml)
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", KINDS)
def test_the_gradient_is_the_derivative_of_the_loss_after_an_inner_loop_of_plain_torch(name: str):
    task, rates = smooth_task(), {key: torch.tensor(rate, dtype=torch.float64) for key, rate in RATES[name].items()}
    learner = learner_of(smooth_net(), KINDS[name](inner_lr=0.2, inner_steps=3))
    theta = learner.meta.learned["theta"]
    outcome = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)

    def loss(theta: Params) -> float:
        net = plain_adapt(smooth_net(), task.support, steps=3, lr=rates, theta=theta)
        return F.cross_entropy(net(task.query.x), task.query.y).item()

    assert outcome.loss.item() == pytest.approx(loss(theta), rel=1e-10)
    for part in ("0.", "1.", "4."):
        chosen = {key: value for key, value in unit_direction(theta, seed(2)).items() if key.startswith(part)}
        direction = {key: chosen.get(key, torch.zeros_like(value)) for key, value in theta.items()}
        expected = central_difference(loss, theta, direction)
        assert inner_product(outcome.gradient["theta"], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


class TwoHeads(nn.Module):
    """A net whose last linear layer, as registered, is not the one that makes the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(4, 3)
        self.embedding = nn.Linear(25, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.embedding(x.flatten(1)).tanh())


@pytest.mark.parametrize(
    ("algorithm", "still"),
    [
        (ANIL(inner_lr=0.5), "classifier"),
        (ANIL(inner_lr=0.5, head="classifier"), "embedding"),
        (BOIL(inner_lr=0.5), "embedding"),
        (BOIL(inner_lr=0.5, head="classifier"), "classifier"),
    ],
)
def test_the_head_is_the_last_linear_layer_or_the_one_that_is_named(algorithm: Algorithm, still: str):
    learner = learner_of(TwoHeads().double(), algorithm)
    phi, theta = learner.adapt(smooth_task().support), learner.meta.learned["theta"]
    same = {name for name in theta if torch.equal(phi[name], theta[name])}
    assert same == {f"{still}.weight", f"{still}.bias"}


@pytest.mark.parametrize("algorithm", [ANIL(inner_lr=0.1), BOIL(inner_lr=0.1)])
def test_a_net_without_a_linear_layer_is_refused(algorithm: Algorithm):
    net = nn.Sequential(nn.Conv2d(1, 3, 5), nn.Flatten())
    with pytest.raises(ValueError, match=r"algorithm\.head"):
        learner_of(net, algorithm)


def test_a_head_without_a_body_leaves_boil_nothing_to_adapt():
    with pytest.raises(ValueError, match=r"its parameters are 1\.weight, 1\.bias"):
        learner_of(nn.Sequential(nn.Flatten(), nn.Linear(25, 3)), BOIL(inner_lr=0.1))
