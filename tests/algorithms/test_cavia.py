from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fewstep
from builders import central_difference, inner_product, seed, smooth_net, smooth_task, unit_direction
from fewstep.algorithms.cavia import CAVIA
from fewstep.core import Examples, Params
from fewstep.learner import Learner, learner_of
from fewstep.nets.conv4 import Conv4
from fewstep.nets.mlp import MLP

SIZE, STEPS, LR = 4, 2, 0.7


def tanh_mlp() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(25, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def conv_without_norm() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(27, 3)).double()


def concatenated(theta: Params, maps: Params, context: Tensor, x: Tensor) -> Tensor:
    """The MLP with the context as further inputs of its first layer, whose matrix is [W, W_c]."""
    inputs = torch.cat([x.flatten(1), context.expand(len(x), -1)], 1)
    hidden = inputs @ torch.cat([theta["1.weight"], maps["shift"]], 1).T + theta["1.bias"]
    return hidden.tanh() @ theta["3.weight"].T + theta["3.bias"]


def film_behind_norm(theta: Params, maps: Params, context: Tensor, x: Tensor) -> Tensor:
    """The smooth net with FiLM, linear in the context but for a constant, behind a batch norm of no parameters."""
    normal = F.batch_norm(F.conv2d(x, theta["0.weight"]), None, None, training=True)
    gamma, beta = theta["1.weight"] + maps["scale"] @ context, theta["1.bias"] + maps["shift"] @ context
    features = F.softplus(gamma[:, None, None] * normal + beta[:, None, None])
    return features.flatten(1) @ theta["4.weight"].T + theta["4.bias"]


def film_behind_convolution(theta: Params, maps: Params, context: Tensor, x: Tensor) -> Tensor:
    gamma, beta = 1 + maps["scale"] @ context, theta["0.bias"] + maps["shift"] @ context
    features = F.softplus(gamma[:, None, None] * F.conv2d(x, theta["0.weight"]) + beta[:, None, None])
    return features.flatten(1) @ theta["3.weight"].T + theta["3.bias"]


NETS = {
    "concatenated to the input": (tanh_mlp, concatenated),
    "film behind a norm": (smooth_net, film_behind_norm),
    "film behind a convolution": (conv_without_norm, film_behind_convolution),
}


def learner_on(net: nn.Module, **settings: object) -> Learner:
    return learner_of(net, CAVIA(inner_lr=LR, inner_steps=STEPS, context_size=SIZE, **settings))


def plain_context(outputs: Callable[..., Tensor], learned: dict[str, Params], support: Examples, steps: int) -> Tensor:
    context = torch.zeros(SIZE, dtype=torch.float64)
    for _ in range(steps):
        leaf = context.requires_grad_()
        loss = F.cross_entropy(outputs(learned["theta"], learned["context"], leaf, support.x), support.y)
        context = context.detach() - LR * torch.autograd.grad(loss, leaf)[0]
    return context.detach()


@pytest.mark.parametrize(("net", "outputs"), NETS.values(), ids=NETS)
def test_predictions_are_those_of_a_net_that_takes_the_adapted_context_in(net: Callable, outputs: Callable):
    learner, task = learner_on(net()), smooth_task()
    learned = learner.meta.learned
    for steps in range(STEPS + 1):
        context = plain_context(outputs, learned, task.support, steps)
        expected = outputs(learned["theta"], learned["context"], context, task.query.x)
        found = learner.predict(learner.adapt(task.support, steps), task.query.x)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("group", ["theta", "context"])
@pytest.mark.parametrize(("net", "outputs"), NETS.values(), ids=NETS)
def test_the_gradient_by_all_that_is_learned_is_the_derivative_of_the_loss(
    net: Callable, outputs: Callable, group: str
):
    learner, task = learner_on(net()), smooth_task()
    learned = learner.meta.learned
    outcome = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)

    def loss(params: Params) -> float:
        at = {**learned, group: params}
        context = plain_context(outputs, at, task.support, STEPS)
        return F.cross_entropy(outputs(at["theta"], at["context"], context, task.query.x), task.query.y).item()

    for number in range(2):
        direction = unit_direction(learned[group], seed(number))
        expected = central_difference(loss, learned[group], direction)
        assert inner_product(outcome.gradient[group], direction) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_first_order_takes_the_context_for_a_constant_but_for_what_multiplies_it():
    """c_S = −α Σ g_i with every g_i constant, so θ has the plain gradient at c_S, and so have the maps."""
    learner, task = learner_on(smooth_net(), order=1), smooth_task()
    learned = learner.meta.learned
    context = plain_context(film_behind_norm, learned, task.support, STEPS)
    logits = film_behind_norm(learned["theta"], learned["context"], context, task.query.x)
    leaves = [tensor for group in learned.values() for tensor in group.values()]
    expected = torch.autograd.grad(F.cross_entropy(logits, task.query.y), leaves)
    found = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0).gradient
    torch.testing.assert_close([t for group in found.values() for t in group.values()], [*expected])


@pytest.mark.parametrize(
    ("net", "settings", "layer"),
    [
        (Conv4(filters=4).build((1, 16, 16), 3), {}, "block3.norm"),
        (Conv4(filters=4).build((1, 16, 16), 3), {"layer": "block1.norm"}, "block1.norm"),
        (Conv4(filters=4).build((1, 16, 16), 3), {"layer": "head"}, "head"),
        (MLP(hidden=(8, 8)).build((1, 16, 16), 3), {}, "1"),
        (conv_without_norm().float(), {}, "0"),
    ],
    ids=["conv4", "norm named", "head named", "mlp", "no norm"],
)
def test_one_layer_alone_differs_between_tasks(net: nn.Module, settings: dict[str, str], layer: str):
    side = 5 if layer == "0" else 16
    support = Examples(torch.randn(3, 1, side, side, generator=seed(0)), torch.arange(3))
    learner = learner_on(net, **settings)
    phi, theta = learner.adapt(support), learner.meta.learned["theta"]
    changed = {name for name in theta if not torch.equal(phi[name], theta[name])}
    is_linear = isinstance(net.get_submodule(layer), nn.Linear)
    assert changed == {f"{layer}.bias"} | (set() if is_linear else {f"{layer}.weight"})


def test_the_adapted_net_is_one_of_the_users_own_class_and_predicts_alike():
    learner, task = learner_of(smooth_net(), CAVIA(context_size=SIZE), norm="support"), smooth_task()
    net = fewstep.adapt(learner, task.support)
    tested = learner.for_evaluation()
    expected = tested.predict(tested.adapt(task.support), task.query.x)
    assert type(net) is nn.Sequential
    torch.testing.assert_close(net(task.query.x), expected, rtol=1e-10, atol=1e-12)


class OnlyScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(25, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.scale


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (OnlyScale(), {}, "this net has none; its parameters are scale"),
        (nn.Sequential(nn.Flatten(), nn.Linear(25, 3, bias=False)), {}, "this net has none"),
        (smooth_net(), {"layer": "0"}, "layer='0'.*this net has 1, 4"),
        (conv_without_norm(), {"order": 1}, "take order=2, or name a norm or a linear layer"),
    ],
)
def test_a_net_that_the_context_cannot_act_on_is_refused(net: nn.Module, settings: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        learner_on(net, **settings)


def test_maps_are_drawn_as_a_linear_layer_draws_its_matrix():
    """U(±1/√inputs): five inputs and the context for a first layer, the context alone for FiLM."""
    mlp = nn.Sequential(nn.Linear(5, 300), nn.Linear(300, 3))
    concatenated = learner_of(mlp, CAVIA(context_size=20)).meta.learned["context"]
    film = learner_of(Conv4(filters=100).build((1, 16, 16), 3), CAVIA(context_size=20)).meta.learned["context"]
    assert concatenated["shift"].abs().max().item() == pytest.approx(25**-0.5, rel=1e-2)
    assert {name: tuple(value.shape) for name, value in film.items()} == {"shift": (100, 20), "scale": (100, 20)}
    assert film["scale"].abs().max().item() == pytest.approx(20**-0.5, rel=1e-2)


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="context_size=0: expected 1 or more"):
        CAVIA(context_size=0)
    with pytest.raises(ValueError, match="inner_steps=0: expected 1 or more"):
        CAVIA(inner_steps=0)
