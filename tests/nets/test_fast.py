"""The fast copies of layers against torch's own, to the second derivative, in float64."""

import copy

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


def test_a_layer_used_twice_is_still_one_layer():
    layer = nn.Conv2d(3, 3, 3, padding=1)
    made = fast(nn.Sequential(layer, nn.ReLU(), layer))
    assert made[0] is made[2]


def test_a_net_that_overwrites_the_outputs_of_its_norm_is_served():
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.relu(self.norm(x), inplace=True)

    net = drawn(Overwriting())
    torch.testing.assert_close(derivatives(fast(net), images(3)), derivatives(net, images(3)), **EXACT)


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


def test_a_single_value_a_channel_is_refused_as_torch_refuses_it():
    net = fast(on_batch_statistics(nn.BatchNorm2d(3)))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        net(torch.zeros(1, 3, 1, 1))
