"""The fast copies of layers against torch's own, to the second derivative, in float64."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from builders import seed
from fewstep.nets.convolution import Convolution
from fewstep.nets.fast import fast
from fewstep.nets.norm import on_batch_statistics
from fewstep.nets.normalisation import Normalised

EXACT = {"rtol": 1e-10, "atol": 1e-11}
CONVOLUTIONS = {
    "as in Conv4": nn.Conv2d(2, 3, 3, padding=1),
    "one channel": nn.Conv2d(1, 3, 3, padding=1),
    "strided": nn.Conv2d(2, 3, 3, stride=2, padding=1),
    "no bias": nn.Conv2d(2, 3, 3, bias=False),
    "dilated": nn.Conv2d(2, 3, 2, dilation=2),
    "grouped": nn.Conv2d(2, 4, 3, groups=2),
    "one pixel": nn.Conv2d(2, 3, 1),
    "oblong": nn.Conv2d(2, 3, (2, 3), stride=(1, 2), padding=(0, 1)),
}
NORMS = {
    "norm": nn.Sequential(nn.BatchNorm2d(3)),
    "large eps": nn.Sequential(nn.BatchNorm2d(3, eps=0.5)),
    "relu": nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()),
    "leaky": nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(0.1)),
    "pool": nn.Sequential(nn.BatchNorm2d(3), nn.MaxPool2d(2)),
    "relu, pool": nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)),
    "leaky, pool": nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(0.1), nn.MaxPool2d((2, 2), stride=2)),
    "another activation": nn.Sequential(nn.BatchNorm2d(3), nn.Tanh(), nn.MaxPool2d(2)),
    "another pool": nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
    "a rising slope": nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(-0.1), nn.MaxPool2d(2)),
}


def drawn(net: nn.Module) -> nn.Module:
    """In float64, with random weights, on the statistics of the batch."""
    generator, net = seed(0), on_batch_statistics(net).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, generator=generator)
    return net


def derivatives(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs; a gradient of theirs by inputs and parameters; and a gradient of that by all three."""
    theta = {name: value.detach().requires_grad_() for name, value in net.named_parameters()}
    x = x.detach().requires_grad_()
    outputs = functional_call(net, theta, (x,))
    generator = seed(1)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    cotangent = noise(outputs).requires_grad_()
    of = [x, *theta.values()]
    first = torch.autograd.grad(outputs, of, cotangent, create_graph=True)
    along = [noise(value) for value in first]
    second = torch.autograd.grad(first, [cotangent, *of], along, allow_unused=True, retain_graph=True)
    both = torch.autograd.grad([*first, outputs], of, [*along, noise(outputs)], allow_unused=True)
    zeros = [torch.zeros_like(value) for value in (cotangent, *of, *of)]
    return [outputs, *first, *(z if g is None else g for g, z in zip((*second, *both), zeros, strict=True))]


def images(channels: int) -> Tensor:
    return torch.randn(4, channels, 7, 6, generator=seed(2), dtype=torch.float64)


@pytest.mark.parametrize("layer", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_convolution_equals_torch_s_to_the_second_derivative(layer: nn.Conv2d):
    net = drawn(layer)
    assert isinstance(fast(net), Convolution)
    torch.testing.assert_close(
        derivatives(fast(net), images(layer.in_channels)), derivatives(net, images(layer.in_channels)), **EXACT
    )


@pytest.mark.parametrize("net", NORMS.values(), ids=NORMS)
def test_a_norm_and_what_follows_equal_torch_s_to_the_second_derivative(net: nn.Sequential):
    net = drawn(net)
    assert isinstance(fast(net)[0], Normalised)
    torch.testing.assert_close(derivatives(fast(net), images(3)), derivatives(net, images(3)), **EXACT)


@pytest.mark.parametrize("following", ["relu, pool", "leaky", "pool"])
def test_the_second_derivative_of_a_norm_passes_finite_differences(following: str):
    net = fast(drawn(NORMS[following]))
    theta = [value.detach().requires_grad_() for value in net.parameters()]
    names = [name for name, _ in net.named_parameters()]

    def outputs(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(net, dict(zip(names, values, strict=True)), (x,))

    x = images(3).requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x, *theta))
    assert torch.autograd.gradgradcheck(outputs, (x, *theta))


def test_a_norm_takes_over_the_rectifier_and_the_pool_behind_it_and_names_stay():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten())
    made = fast(on_batch_statistics(net))
    assert [type(layer) for layer in made] == [Convolution, Normalised, nn.Identity, nn.Identity, nn.ReLU, nn.Flatten]
    assert [name for name, _ in made.named_parameters()] == [name for name, _ in net.named_parameters()]


def test_layers_that_hooks_watch_stay_and_see_what_they_would_see():
    net, seen = on_batch_statistics(nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())), []
    net[2].register_forward_hook(lambda layer, inputs, outputs: seen.append(outputs))
    made = fast(net)
    made(torch.randn(2, 1, 5, 5))
    assert [type(layer) for layer in made] == [Convolution, Normalised, nn.ReLU]
    assert len(seen) == 1


class Own(nn.Module):
    """A net with code of its own around a convolution and a norm."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
        self.path = [self.body[0]]
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


OWN = {
    "looks at how outputs lie in memory": lambda net, x: net.body(x).view(len(x), -1),
    "runs part of a row": lambda net, x: net.body[2](net.body[:2](x) + x),
    "keeps a layer in a list": lambda net, x: net.body(x) + net.path[0](x),
    "asks for a kind of layer": lambda net, x: net.body(x) * isinstance(net.body[0], nn.Conv2d),
    "reads an attribute": lambda net, x: net.body(x) * net.body[0].out_channels,
    "overwrites outputs": lambda net, x: nn.functional.relu(net.body[1](net.body[0](x)), inplace=True),
}


@pytest.mark.parametrize("forward", OWN.values(), ids=OWN)
def test_a_net_with_code_of_its_own_computes_what_it_says(forward: Callable[[Any, Tensor], Tensor]):
    net = drawn(Own(forward))
    torch.testing.assert_close(derivatives(fast(net), images(1)), derivatives(net, images(1)), **EXACT)


@pytest.mark.parametrize("twice", [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)], ids=["convolution", "norm"])
def test_a_row_that_uses_a_layer_twice_has_its_gradient(twice: nn.Module):
    net = drawn(nn.Sequential(twice, nn.ReLU(), nn.Sequential(twice, nn.Tanh())))
    torch.testing.assert_close(derivatives(fast(net), images(3)), derivatives(net, images(3)), **EXACT)


def test_what_follows_may_overwrite_its_inputs():
    net = drawn(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d([2, 2]), nn.Hardtanh(-0.5, 0.5, inplace=True)))
    assert isinstance(fast(net)[2], nn.Identity)
    torch.testing.assert_close(derivatives(fast(net), images(3)), derivatives(net, images(3)), **EXACT)


def third(net: nn.Module, x: Tensor) -> Tensor:
    """A derivative of the squared second one."""
    x = x.detach().requires_grad_()
    (first,) = torch.autograd.grad(net(x).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), x, create_graph=True)
    return torch.autograd.grad(second.pow(2).sum(), x)[0]


def test_the_third_derivative_is_right_or_refused():
    convolution, norm = drawn(nn.Conv2d(2, 3, 3)), drawn(nn.BatchNorm2d(3))
    torch.testing.assert_close(third(fast(convolution), images(2)), third(convolution, images(2)), **EXACT)
    with pytest.raises(RuntimeError, match="third derivative"):
        third(fast(norm), images(3))


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 5, 4, 4), "5 elements"), ((2, 3, 4), "4D input"), ((1, 3, 1, 1), "1 value")]
)
def test_inputs_that_a_norm_refuses_are_refused(shape: tuple[int, ...], message: str):
    for net in (on_batch_statistics(nn.BatchNorm2d(3)), fast(on_batch_statistics(nn.BatchNorm2d(3)))):
        with pytest.raises((ValueError, RuntimeError), match=message):
            net(torch.zeros(shape))


def test_under_autocast_it_is_torch_s_own():
    net = on_batch_statistics(nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU()))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fast(net)(images(1).float()), net(images(1).float()))


def test_on_another_device_it_is_torch_s_own():
    """Of which `torch.is_autocast_enabled` may not know."""
    net = fast(on_batch_statistics(nn.Sequential(nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.MaxPool2d(2))))
    assert net.to("meta")(torch.zeros(4, 1, 8, 8, device="meta")).shape == (4, 12, 3, 3)


def test_the_original_is_left_as_it_is():
    net = on_batch_statistics(nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU()))
    before = copy.deepcopy(net)
    fast(net)
    assert str(net) == str(before)


def test_inside_a_vmap_it_is_torch_s_own():
    net = drawn(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)))
    tasks = torch.stack([images(2), 2 * images(2)])
    made = fast(net)
    torch.testing.assert_close(torch.func.vmap(made)(tasks), torch.stack([net(x) for x in tasks]), **EXACT)
