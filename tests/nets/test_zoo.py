"""Layers of all kinds: a second-order step of each has the gradient that finite differences find, or is refused."""

import copy
import dataclasses
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import weight_norm as weight_norm_by_hook
from torch.nn.utils.parametrizations import weight_norm

from builders import (
    assert_unchanged,
    central_difference,
    inner_product,
    plain_adapt,
    seed,
    snapshot,
    stacked,
    unit_direction,
)
from fewstep.algorithms.maml import MAML
from fewstep.core import Examples, Meta, MetaGradient, Params, Task
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.model import Model
from fewstep.nets.attention import on_math
from fewstep.nets.weight_norm import weight_of

WIDTH, LENGTH, WORDS = 4, 5, 7


class Tied(nn.Module):
    """One matrix on the way in and on the way out, as a language model's embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(20, 3), nn.Linear(20, 3)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x.flatten(1)) @ self.first.weight))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.body, self.head = kind(WIDTH, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


class Attentive(nn.Module):
    def __init__(self, *, need_weights: bool, is_masked: bool = False) -> None:
        super().__init__()
        self.body, self.head = nn.MultiheadAttention(WIDTH, 2, batch_first=True), nn.Linear(WIDTH, 3)
        self.need_weights, self.is_masked = need_weights, is_masked

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=x.dtype) if self.is_masked else None
        outputs, weights = self.body(x, x, x, need_weights=self.need_weights, attn_mask=mask, is_causal=self.is_masked)
        assert (weights is not None) == self.need_weights
        return self.head(outputs.mean(1))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, batch_first=True, activation="gelu")
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(1))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)).mean(1))


def row(*layers: nn.Module, features: int = 6) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(20, 6), *layers, nn.Tanh(), nn.Linear(features, 3))


def by_hook(layer: nn.Module, dim: int | None = 0) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch would rather have the parametrization
        return weight_norm_by_hook(layer, dim=dim)


def frozen() -> nn.Module:
    net = row()
    net[1].requires_grad_(False)
    return net


def with_unused() -> nn.Module:
    net = row()
    net.register_parameter("unused", nn.Parameter(torch.ones(2)))
    return net


ZOO: dict[str, Callable[[], nn.Module]] = {
    "batch norm with running statistics": lambda: row(nn.BatchNorm1d(6)),
    "layer norm": lambda: row(nn.LayerNorm(6)),
    "group norm": lambda: row(nn.GroupNorm(2, 6)),
    "weight norm": lambda: row(weight_norm(nn.Linear(6, 6))),
    "weight norm of a whole": lambda: row(weight_norm(nn.Linear(6, 6), dim=None)),
    "weight norm of columns": lambda: row(weight_norm(nn.Linear(6, 6), dim=1)),
    "weight norm by a hook": lambda: row(by_hook(nn.Linear(6, 6))),
    "weight norm of a whole by a hook": lambda: row(by_hook(nn.Linear(6, 6), dim=None)),
    "weight norm of a convolution": lambda: nn.Sequential(
        weight_norm(nn.Conv1d(LENGTH, 3, 2)), nn.Tanh(), nn.Flatten(), nn.Linear(9, 3)
    ),
    "tied": Tied,
    "frozen": frozen,
    "unused": with_unused,
    "dropout": lambda: row(nn.Dropout(0.5)),
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "attention with weights": lambda: Attentive(need_weights=True),
    "fused attention": lambda: Attentive(need_weights=False),
    "fused causal attention": lambda: Attentive(need_weights=False, is_masked=True),
    "Transformer encoder layer": Encoder,
    "embedding of integers": Words,
}
"""Inputs are `[N, 5, 4]`, of the last `[N, 5]` words; every net is smooth, so that finite differences are clean."""


def made(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ZOO[name]().double()


def task_for(net: nn.Module, number: int = 0) -> Task:
    generator = seed(number)

    def examples() -> Examples:
        if isinstance(net, Words):
            x = torch.randint(WORDS, (6, LENGTH), generator=generator)
        else:
            x = torch.randn(6, LENGTH, WIDTH, generator=generator, dtype=torch.float64)
        return Examples(x, torch.arange(3).repeat(2))

    return Task(examples(), examples())


def at(learner: Learner, theta: Params, task: Task) -> MetaGradient:
    """The meta-gradient at θ, with the same random numbers every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return learner.algorithm.meta_gradient(learner.model, Meta({"theta": theta}, learner.meta.state), task, 0)


def theta_of(learner: Learner) -> Params:
    return {name: value.detach() for name, value in learner.meta.learned["theta"].items()}


@pytest.mark.parametrize("name", ZOO)
def test_a_second_order_gradient_passes_finite_differences(name: str):
    net = made(name)
    task = task_for(net)
    learner = learner_of(net, MAML(inner_lr=0.4, inner_steps=2)).checked(task, 3)
    theta = theta_of(learner)
    gradient = at(learner, theta, task).gradient["theta"]
    for number in range(3):
        direction = unit_direction(theta, seed(number))
        expected = central_difference(lambda moved: at(learner, moved, task).loss.item(), theta, direction)
        assert inner_product(gradient, direction) == pytest.approx(expected, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", ZOO)
def test_the_gradient_has_the_names_of_all_that_can_learn_and_the_users_net_is_left_as_it_was(name: str):
    net = made(name)
    before = snapshot(net)
    task = task_for(net)
    learner = learner_of(net, MAML(inner_lr=0.4)).checked(task, 3)
    gradient = at(learner, theta_of(learner), task).gradient["theta"]
    assert set(gradient) == {key for key, value in net.named_parameters() if value.requires_grad}
    still = {key for key, value in gradient.items() if not value.any()}
    assert still == ({"unused"} if name == "unused" else set())
    assert_unchanged(net, before)


@pytest.mark.parametrize("name", [name for name in ZOO if name != "dropout"])
def test_the_adapted_net_is_what_torch_makes_of_it_alone(name: str):
    net = made(name)
    task = task_for(net)
    learner = learner_of(net, MAML(inner_lr=0.4, inner_steps=2))
    by_fewstep = learner.predict(learner.adapt(task.support), task.query.x)
    by_torch = plain_adapt_of(name, task)(task.query.x)
    torch.testing.assert_close(by_fewstep, by_torch, rtol=1e-9, atol=1e-11)


def plain_adapt_of(name: str, task: Task) -> nn.Module:
    """The net of that name after two steps of torch's SGD; made anew, for torch copies no net with the old hook."""
    if "hook" not in name:
        return plain_adapt(made(name), task.support, steps=2, lr=0.4)
    net = made(name)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.4)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(task.support.x), task.support.y).backward()
        optimizer.step()
    return net


REPLACED = ["weight norm", "weight norm by a hook", "fused attention", "Transformer encoder layer"]


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_replaced_runs_in_threads_and_chunks_as_in_a_loop_and_when_it_is_tested(name: str):
    net = made(name)
    batch = stacked([task_for(net, number) for number in range(4)])
    learner = learner_of(net, MAML(inner_lr=0.4)).checked(batch.select(0), 3).to("cpu")

    def gradient(model: Model, task: Task) -> Params:
        return learner.algorithm.meta_gradient(model, learner.meta, task, 0).gradient["theta"]

    def tested(model: Model, task: Task) -> Tensor:
        phi = dataclasses.replace(learner, model=model).adapt(task.support)
        return model.query_outputs(phi, task.query.x)

    for function, model in ((gradient, learner.model), (tested, learner.model.for_evaluation())):
        found = []
        for mapping in (Mapping(), Mapping(threads=2), Mapping(chunk=2)):
            with Workers(model, mapping) as workers:
                found.append(workers.map(function, batch))
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("options", [{}, {"kdim": 2, "vdim": 3}, {"bias": False}, {"add_bias_kv": True}])
def test_attention_that_is_replaced_takes_every_argument_as_torchs_does(batch_first: bool, options: dict[str, object]):
    layer = nn.MultiheadAttention(WIDTH, 2, batch_first=batch_first, **options).double()
    widths = (WIDTH, layer.kdim, layer.vdim)
    given = [torch.randn(3, 3, width, generator=seed(i), dtype=torch.float64) for i, width in enumerate(widths)]
    padding = torch.tensor([[False, False, True]] * 3)
    for more in ({}, {"average_attn_weights": False}, {"key_padding_mask": padding}, {"need_weights": False}):
        expected = layer(*given, **more)
        found = on_math(copy.deepcopy(layer))(*given, **more)
        torch.testing.assert_close(found, expected)


def test_weight_norm_by_its_formula_passes_gradgradcheck():
    for dim in (0, 1, -1):
        g = torch.rand({0: (3, 1), 1: (1, 2), -1: ()}[dim], generator=seed(0), dtype=torch.float64) + 0.5
        v = torch.randn(3, 2, generator=seed(1), dtype=torch.float64)
        torch.testing.assert_close(weight_of(g, v, dim), torch._weight_norm(v, g, dim))
        inputs = (g.requires_grad_(), v.requires_grad_())
        assert torch.autograd.gradgradcheck(lambda g, v, dim=dim: weight_of(g, v, dim), inputs)


class FusedByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        one = self.body(x)[:, None]
        return self.head(F.scaled_dot_product_attention(one, one, one)[:, 0].mean(1))


def test_what_has_no_second_derivative_is_named_with_the_ways_out_and_takes_the_first_order():
    net = FusedByHand().double()
    task = task_for(net)
    learner = learner_of(net, MAML(inner_lr=0.4))
    way = r"call it under torch\.nn\.attention\.sdpa_kernel\(SDPBackend\.MATH\), or take the first order"
    with pytest.raises(ValueError, match=rf"^_scaled_dot_product_\w+ in the net has no second derivative: {way}"):
        at(learner, theta_of(learner), task)
    first = learner_of(net, MAML(inner_lr=0.4, order=1))
    assert at(first, theta_of(first), task).loss.isfinite()
