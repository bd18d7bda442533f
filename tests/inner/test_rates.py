import pytest
import torch

from builders import plain_adapt, smooth_net, smooth_task
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.reptile import Reptile
from fewstep.inner.rates import rates_of
from fewstep.inner.sgd import SGD
from fewstep.learner import learner_of

NAMES = ("body.conv.weight", "body.conv.bias", "body.norm.weight", "head.weight")


def test_without_groups_every_name_has_the_common_rate():
    assert rates_of(NAMES, 0.4) == dict.fromkeys(NAMES, 0.4)


@pytest.mark.parametrize("groups", [(("body.", 0.1), ("body.conv.w", 0.2)), (("body.conv.w", 0.2), ("body.", 0.1))])
def test_the_longest_beginning_decides_in_whatever_order_they_come(groups: tuple[tuple[str, float], ...]):
    assert [*rates_of(NAMES, 0.4, groups).values()] == [0.2, 0.1, 0.1, 0.4]


def test_a_rate_of_zero_is_a_rate():
    assert [*rates_of(NAMES, 0.4, (("body.", 0.0),)).values()] == [0.0, 0.0, 0.0, 0.4]


def test_a_beginning_that_fits_no_name_is_an_error_that_lists_the_names():
    with pytest.raises(ValueError, match=r"no parameter's name starts with 'tail\.'; they are body\.conv\.weight, "):
        rates_of(NAMES, 0.4, (("tail.", 0.1),))


@pytest.mark.parametrize(
    "algorithm",
    [
        MAML(inner_lr=0.2, inner_steps=2, inner_lr_of=(("4.", 0.5), ("1.", 0.0))),
        MAML(inner_lr=0.2, inner_steps=2, inner_lr_of=(("4.", 0.5), ("1.", 0.0)), learn_inner_lr=True),
        MAMLPlusPlus(inner_lr=0.2, inner_steps=2, inner_lr_of=(("4.", 0.5), ("1.", 0.0))),
        MAMLPlusPlus(inner_lr=0.2, inner_steps=2, inner_lr_of=(("4.", 0.5), ("1.", 0.0)), learn_inner_lr=True),
        Reptile(inner_lr=0.2, inner_steps=2, inner_lr_of=(("4.", 0.5), ("1.", 0.0)), inner_batch=None, optimizer=SGD()),
    ],
)
def test_the_inner_loop_of_every_algorithm_moves_each_group_at_its_own_rate(algorithm: MAML | MAMLPlusPlus | Reptile):
    """Against torch's gradient descent with a parameter group for every tensor."""
    support = smooth_task().support
    rates = {"0.weight": 0.2, "1.weight": 0.0, "1.bias": 0.0, "4.weight": 0.5, "4.bias": 0.5}
    expected = plain_adapt(smooth_net(), support, steps=2, lr=rates)
    phi = learner_of(smooth_net(), algorithm).adapt(support)
    expected = {name: parameter.detach() for name, parameter in expected.named_parameters()}
    torch.testing.assert_close({name: value.detach() for name, value in phi.items()}, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(phi["1.weight"], smooth_net()[1].weight)
