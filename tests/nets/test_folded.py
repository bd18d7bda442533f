"""A convolution with its batch norm folded into its weight, against torch's two layers, in float64."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from builders import seed
from fewstep.nets import folded
from fewstep.nets.convolution import Convolution
from fewstep.nets.fast import fast
from fewstep.nets.folded import Folded
from fewstep.nets.norm import on_batch_statistics
from fewstep.nets.normalisation import Normalised

EXACT = {"rtol": 1e-10, "atol": 1e-11}
NETS = {
    "as in Conv4": [nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)],
    "strided": [nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.LeakyReLU(0.1)],
    "colours": [nn.Conv2d(3, 30, 3), nn.BatchNorm2d(30, eps=0.3), nn.MaxPool2d(2)],
    "dilated, no bias": [nn.Conv2d(1, 8, 2, dilation=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()],
    "oblong, alone": [nn.Conv2d(1, 8, (2, 3), stride=(1, 2), padding=(0, 1)), nn.BatchNorm2d(8)],
}


def drawn(*layers: nn.Module) -> nn.Sequential:
    """In float64, with random weights, on the statistics of the batch."""
    generator, net = seed(0), on_batch_statistics(nn.Sequential(*layers)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, generator=generator)
    return net


def images(net: nn.Module) -> Tensor:
    return torch.randn(5, net[0].in_channels, 9, 8, generator=seed(2), dtype=torch.float64) + 3


def derivatives(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs; a gradient of theirs by the parameters; and a gradient of that, of every kind."""
    theta = {name: value.detach().requires_grad_() for name, value in net.named_parameters()}
    outputs, generator = functional_call(net, theta, (x,)), seed(1)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    cotangent, of = noise(outputs).requires_grad_(), list(theta.values())
    first = torch.autograd.grad(outputs, of, cotangent, create_graph=True, materialize_grads=True)
    second = torch.autograd.grad(
        [*first, outputs],
        [cotangent, *of],
        [*(noise(value) for value in first), noise(outputs)],
        materialize_grads=True,
    )
    return [outputs, *first, *second]


@pytest.fixture(params=[1 << 20, 8 * 30 * 9 * 8 * 2], ids=["all at once", "a few at a time"])
def cached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a last group of images that is smaller than the others."""
    monkeypatch.setattr(folded, "CACHED_BYTES", request.param)


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("layers", NETS.values(), ids=NETS)
def test_it_equals_both_layers_to_the_second_derivative(layers: list[nn.Module], monkeypatch: pytest.MonkeyPatch):
    net = drawn(*layers)
    expected = derivatives(net, images(net))
    monkeypatch.setattr(Convolution, "forward", None)  # neither of the two runs by itself
    monkeypatch.setattr(Normalised, "forward", None)
    torch.testing.assert_close(derivatives(fast(net), images(net)), expected, **EXACT)


@pytest.mark.usefixtures("cached")
def test_its_derivatives_pass_finite_differences():
    original = drawn(*NETS["as in Conv4"])
    net, x = fast(original), images(original)
    names = [name for name, _ in net.named_parameters()]

    def outputs(*values: Tensor) -> Tensor:
        return functional_call(net, dict(zip(names, values, strict=True)), (x,))

    theta = [value.detach().requires_grad_() for name, value in net.named_parameters()]
    assert torch.autograd.gradcheck(outputs, theta)
    assert torch.autograd.gradgradcheck(outputs, theta)


def test_the_variance_of_a_channel_that_hardly_varies_is_exact_in_float32():
    """A filter that takes differences of images nearly constant: the covariance of patches nearly cancels in it."""
    net = drawn(*NETS["as in Conv4"])
    net[0].weight.data -= net[0].weight.data.mean((2, 3), keepdim=True)
    x = 0.9 + 1e-3 * images(net)
    expected = derivatives(net, x)
    found = derivatives(fast(net.float()), x.float())
    torch.testing.assert_close(found[0].double(), expected[0], rtol=1e-2, atol=1e-2)
    theirs = derivatives(net, x.float())
    for mine, torchs, exact in zip(found, theirs, expected, strict=True):
        error, torchs_error = ((one.double() - exact).norm() for one in (mine, torchs))
        assert error <= 2 * torchs_error + 1e-3 * exact.norm()


def test_inputs_that_change_in_place_are_seen():
    net = drawn(*NETS["as in Conv4"])
    x, made = images(net), fast(net)
    torch.testing.assert_close(made(x), net(x), **EXACT)
    x.mul_(2).add_(1)
    torch.testing.assert_close(made(x), net(x), **EXACT)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), net(x), **EXACT)


def test_a_forward_in_inference_mode_leaves_nothing_that_a_later_one_cannot_use():
    net = drawn(*NETS["as in Conv4"])
    x, made = images(net), fast(net)
    with torch.inference_mode():
        made(x)
    torch.testing.assert_close(derivatives(made, x), derivatives(net, x), **EXACT)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copied", "pickled"]
)
def test_a_net_that_has_run_can_be_copied_and_sent_elsewhere(again: Callable[[nn.Module], nn.Module]):
    net = drawn(*NETS["as in Conv4"])
    made = fast(net)
    made(images(net))
    torch.testing.assert_close(again(made)(images(net)), net(images(net)), **EXACT)


def test_a_bias_that_the_norm_undoes_has_a_gradient_which_is_zero():
    """Not none, which would stop `torch.autograd.grad`, and which an optimizer would not decay."""
    original = drawn(*NETS["as in Conv4"])
    net = fast(original)
    gradients = torch.autograd.grad(net(images(original)).sum(), list(net.parameters()))
    names = [name for name, _ in net.named_parameters()]
    assert [name for name, one in zip(names, gradients, strict=True) if not one.any()] == ["0.bias"]


def with_gradient(x: Tensor) -> Tensor:
    return x.clone().requires_grad_()


LEFT = {
    "inputs that take a gradient": (drawn(*NETS["as in Conv4"]), with_gradient),
    "large patches": (drawn(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), torch.clone),
    "groups": (drawn(nn.Conv2d(2, 24, 3, groups=2), nn.BatchNorm2d(24)), torch.clone),
    "one value a channel": (drawn(nn.Conv2d(1, 80, (9, 8)), nn.BatchNorm2d(80)), lambda x: x[:1]),
}


@pytest.mark.parametrize(("net", "change"), LEFT.values(), ids=LEFT)
def test_what_does_not_fit_is_left_to_both_layers(net: nn.Sequential, change: Any):
    x, made = change(images(net)), fast(net)
    assert not Folded(made[0], made[1]).fits(x)
    if len(x) > 1:
        torch.testing.assert_close(made(x), net(x), **EXACT)


def test_a_norm_of_higher_precision_is_left_to_itself():
    net = drawn(*NETS["as in Conv4"])
    net[0].to(torch.bfloat16)
    net[1].float()
    x = images(net).to(torch.bfloat16)
    torch.testing.assert_close(fast(net)(x), net(x), rtol=0.02, atol=0.02)


@pytest.mark.filterwarnings("ignore:Complex modules")
def test_complex_numbers_are_refused_as_by_torch():
    net = drawn(*NETS["oblong, alone"]).to(torch.complex128)
    for one in (net, fast(net)):
        with pytest.raises(RuntimeError):
            one(images(net).to(torch.complex128))


@pytest.mark.parametrize("shape", [(2, 3, 9, 9), (2, 1, 0, 9), (1, 9, 9), (2, 1, 1, 1)])
def test_inputs_that_torch_refuses_are_refused(shape: tuple[int, ...]):
    net = drawn(*NETS["oblong, alone"])
    for one in (net, fast(net)):
        with pytest.raises((RuntimeError, ValueError)):
            one(torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(RuntimeError):
        fast(net)(torch.zeros(2, 1, 9, 9))


def test_the_third_derivative_is_right():
    """As torch's own of a batch norm is not: it takes mean and variance for constants in it."""
    net = drawn(nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU())
    convolution, norm, _ = net

    def written_out(x: Tensor) -> Tensor:
        y = convolution(x)
        centred = y - y.mean((0, 2, 3), keepdim=True)
        normed = centred / (centred.square().mean((0, 2, 3), keepdim=True) + norm.eps).sqrt()
        return torch.relu(normed * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1))

    def third(function: Callable[[Tensor], Tensor], weight: Tensor) -> Tensor:
        (first,) = torch.autograd.grad(function(images(net)).pow(3).sum(), weight, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), weight, create_graph=True)
        return torch.autograd.grad(second.pow(2).sum(), weight)[0]

    made = fast(net)
    torch.testing.assert_close(third(made, made[0].weight), third(written_out, convolution.weight), rtol=1e-8, atol=0)
