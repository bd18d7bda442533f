"""Small nets and tasks, and derivatives and inner loops computed without fewstep, that several test files share."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewstep.core import Examples, Params, Task, map_tensors
from fewstep.inner.adagrad import Adagrad
from fewstep.inner.adam import Adam
from fewstep.inner.momentum import Momentum
from fewstep.inner.optimizer import InnerOptimizer
from fewstep.inner.rmsprop import RMSprop
from fewstep.inner.sgd import SGD
from fewstep.learner import Learner
from fewstep.model import Loss
from fewstep.nets.norm import Norm
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.splits import Splits, Tasks

NORMS: tuple[Norm, ...] = get_args(Norm)
OWN_QUERIES = tuple(norm for norm in NORMS if norm != "transductive")
"""The policies under which a tested query's prediction is its own."""


class Rule(NamedTuple):
    """An inner optimizer of ours, and torch's optimizer that makes the same steps; `torch_rule(parameters, lr=...)`."""

    ours: InnerOptimizer
    torch_rule: Callable[..., torch.optim.Optimizer]


def epsilons(optimizer: InnerOptimizer) -> tuple[float, float]:
    """ε inside and outside the root; infinite for an optimizer that divides by none."""
    settings = dataclasses.asdict(optimizer)
    return settings.get("eps_inside", float("inf")), settings.get("eps_outside", float("inf"))


RULES = {
    "sgd": Rule(SGD(), torch.optim.SGD),
    "momentum": Rule(Momentum(momentum=0.8), partial(torch.optim.SGD, momentum=0.8)),
    "nesterov": Rule(Momentum(momentum=0.8, nesterov=True), partial(torch.optim.SGD, momentum=0.8, nesterov=True)),
    # torch starts the sum n at 0.7 and adds nothing beside the root: √(0.7 + Σ g²), which is ε inside
    "adagrad-inside": Rule(
        Adagrad(eps_inside=0.7), partial(torch.optim.Adagrad, initial_accumulator_value=0.7, eps=0.0)
    ),
    "adagrad-outside": Rule(Adagrad(eps_inside=0.0, eps_outside=0.3), partial(torch.optim.Adagrad, eps=0.3)),
    "adagrad-torch": Rule(Adagrad(eps_inside=0.0, eps_outside=1e-10), torch.optim.Adagrad),
    "rmsprop-torch": Rule(RMSprop(), torch.optim.RMSprop),
    "rmsprop-outside": Rule(RMSprop(decay=0.8, eps_outside=0.3), partial(torch.optim.RMSprop, alpha=0.8, eps=0.3)),
    "adam-torch": Rule(Adam(), torch.optim.Adam),
    "adam-outside": Rule(
        Adam(beta1=0.6, beta2=0.8, eps_outside=0.3), partial(torch.optim.Adam, betas=(0.6, 0.8), eps=0.3)
    ),
    "adam-beta1-0": Rule(Adam(beta1=0.0, eps_outside=0.3), partial(torch.optim.Adam, betas=(0.0, 0.999), eps=0.3)),
}
"""A new inner optimizer joins every test of inner optimizers with one row."""

# g / (|g| + 1e-8) is a step function to any difference wide enough to be computed
SMOOTH_RULES = [name for name, rule in RULES.items() if max(epsilons(rule.ours)) >= 1e-2]


RULES_AND_NORMS = [
    *product(SMOOTH_RULES, ("transductive", "support")),
    *(("momentum", norm) for norm in NORMS if norm not in ("transductive", "support")),
]
"""Every rule under a policy without a support forward and one with it, and every policy."""


def seed(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def smooth_net(ways: int = 3, channels: int = 3, activation: Callable[[], nn.Module] = nn.Softplus) -> nn.Sequential:
    """A user's net with a plain `nn.BatchNorm2d`; float64, images [1, 5, 5]; smooth, so finite differences are clean.

    No bias before the batch norm: its gradient would be zero up to rounding.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
            activation(),
            nn.Flatten(),
            nn.Linear(9 * channels, ways),
        ).double()


def smooth_task(number: int = 0, ways: int = 3, shots: int = 2, queries: int = 2) -> Task:
    """Noise in place of images, which do for derivatives; float64."""
    generator = seed(number)

    def examples(each: int) -> Examples:
        x = torch.randn(ways * each, 1, 5, 5, generator=generator, dtype=torch.float64)
        return Examples(x, torch.arange(ways).repeat_interleave(each))

    return Task(examples(shots), examples(queries))


def stacked(tasks: list[Task]) -> Task:
    return map_tensors(lambda *parts: torch.stack(parts), *tasks)


def image_splits(
    ways: int = 3, shots: int = 2, queries: int = 2, size: int = 5, classes: int = 6, noise: float = 15
) -> Splits:
    """A class is a random pattern, an image is its pattern under noise, little unless asked; splits share no class."""
    rng = np.random.default_rng(0)
    each = shots + queries + 2
    patterns = rng.uniform(40, 215, size=(3 * classes, 1, 1, size, size))
    noisy = patterns + rng.normal(0, noise, size=(3 * classes, each, 1, size, size))
    images = noisy.clip(0, 255).astype(np.uint8).reshape(-1, 1, size, size)
    listed = [ImageClass(f"class{i}", i * each, each) for i in range(3 * classes)]
    train, val, test = (
        ImageTasks(
            split=split,
            images=images,
            classes=listed[i * classes : (i + 1) * classes],
            ways=ways,
            shots=shots,
            queries=queries,
        )
        for i, split in enumerate(("train", "val", "test"))
    )
    return Splits(train, val, test, {})


class InDouble(NamedTuple):
    """The tasks of another source in float64."""

    source: Tasks

    @property
    def inputs(self) -> tuple[int, ...]:
        return self.source.inputs

    @property
    def outputs(self) -> int:
        return self.source.outputs

    @property
    def class_names(self) -> list[str]:
        return self.source.class_names

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        return self.source.sample(seed, stream, step, count).to("cpu", torch.float64)


def unit_direction(like: Params, generator: torch.Generator) -> Params:
    drawn = {name: torch.randn(value.shape, generator=generator, dtype=value.dtype) for name, value in like.items()}
    norm = inner_product(drawn, drawn) ** 0.5
    return {name: value / norm for name, value in drawn.items()}


def inner_product(a: Params, b: Params) -> float:
    assert set(a) == set(b)
    return sum((a[name] * b[name]).sum().item() for name in a)


def central_difference(function: Callable[[Params], float], at: Params, direction: Params, step: float = 1e-5) -> float:
    """Error: step²/6 times the third derivative, plus rounding of 1e-16/step."""

    def moved(distance: float) -> Params:
        return {name: at[name].detach() + distance * direction[name] for name in at}

    return (function(moved(step)) - function(moved(-step))) / (2 * step)


def plain_loss(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    return F.cross_entropy if loss == "mean_cross_entropy" else F.mse_loss


def plain_adapt(
    net: nn.Module,
    support: Examples,
    *,
    steps: int,
    lr: float | Params,
    rule: str = "sgd",
    loss: Loss = "mean_cross_entropy",
    theta: Params | None = None,
) -> nn.Module:
    """A copy of `net` after `steps` of torch's optimizer in training mode: no fewstep, no functional_call."""
    net = copy.deepcopy(net).train()
    if theta is not None:
        net.load_state_dict({name: value.detach() for name, value in theta.items()}, strict=False)
    trainable = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    rates = lr if isinstance(lr, dict) else dict.fromkeys(trainable, lr)
    groups = [{"params": [parameter], "lr": float(rates[name])} for name, parameter in trainable.items()]
    optimizer = RULES[rule].torch_rule(groups, lr=1.0)
    for _ in range(steps):
        optimizer.zero_grad()
        plain_loss(loss)(net(support.x), support.y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return net


class ScaleAndShift(nn.Module):
    """What is left of a norm that does not normalise: y = w x + b, channel by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([w * x[:, c] + b for c, (w, b) in enumerate(zip(self.weight, self.bias, strict=True))], 1)


def plain_net(net: nn.Module, norm: Norm) -> nn.Module:
    """A copy of `net` with torch's own layers where a policy replaces batch norms: one group below 32 channels."""
    net = copy.deepcopy(net)
    if norm not in ("group", "layer", "none"):
        return net
    for name, layer in list(net.named_modules()):
        if isinstance(layer, _BatchNorm):
            channels = layer.num_features
            assert channels < 32
            other = ScaleAndShift(channels) if norm == "none" else nn.GroupNorm(1, channels, eps=layer.eps)
            other.to(layer.weight).load_state_dict({"weight": layer.weight, "bias": layer.bias})
            net.set_submodule(name, other)
    return net


def plain_outputs(
    net: nn.Module, support: Examples, x: Tensor, norm: Norm, *, accumulated: Params | None = None
) -> Tensor:
    """The adapted `plain_net`'s outputs as the norm policy defines them, by torch's own norms.

    support: evaluation mode, after one support forward that sets the running statistics; with momentum 1 torch stores
    its unbiased variance, which is the biased one times n / (n − 1). running and per_step are tested in evaluation
    mode on what they `accumulated`, and trained in training mode, as are all others.
    """
    net = copy.deepcopy(net)
    if norm in ("running", "per_step") and accumulated is not None:
        net.load_state_dict(accumulated, strict=False)
        return net.eval()(x)
    if norm != "support":
        return net.train()(x)
    layers = [layer for layer in net.modules() if isinstance(layer, _BatchNorm)]
    hooks = [layer.register_forward_pre_hook(_remember_count) for layer in layers]
    for layer in layers:
        layer.momentum = 1.0
    with torch.no_grad():
        net.train()(support.x)
    for layer, hook in zip(layers, hooks, strict=True):
        layer.running_var *= (layer.seen_values - 1) / layer.seen_values
        hook.remove()
    return net.eval()(x)


def _remember_count(layer: nn.Module, inputs: tuple[Tensor]) -> None:
    layer.seen_values = inputs[0].numel() // inputs[0].shape[1]


def snapshot(net: nn.Module) -> dict[str, object]:
    """Everything about a net that somebody could change by accident."""
    tensors = {name: value.clone() for name, value in net.state_dict().items()}
    return {
        "tensors": tensors,
        "modes": [module.training for module in net.modules()],
        "needs": {name: parameter.requires_grad for name, parameter in net.named_parameters()},
        "gradients": {name: parameter.grad for name, parameter in net.named_parameters()},
        "classes": [type(module) for module in net.modules()],
    }


def assert_unchanged(net: nn.Module, before: dict[str, object]) -> None:
    after = snapshot(net)
    torch.testing.assert_close(after.pop("tensors"), before["tensors"], rtol=0, atol=0)
    assert after == {key: value for key, value in before.items() if key != "tensors"}


@contextmanager
def leaving_as_it_was(learner: Learner) -> Iterator[None]:
    """Assert that what happens inside changes nothing in a learner, nor in torch's random numbers."""
    meta = map_tensors(lambda tensor: tensor.detach().clone(), learner.meta)
    model, random_numbers = learner.model, torch.get_rng_state()
    nets = [model.net, model.support_net, model.query_net, model.given_net, model.observer]
    nets = [net for net in nets if net is not None]
    before = [snapshot(net) for net in nets]
    yield
    torch.testing.assert_close(map_tensors(torch.detach, learner.meta)._asdict(), meta._asdict(), rtol=0, atol=0)
    assert all(tensor.grad is None and tensor.requires_grad for tensor in learner.parameters())
    for net, state in zip(nets, before, strict=True):
        assert_unchanged(net, state)
    assert torch.equal(torch.get_rng_state(), random_numbers)
