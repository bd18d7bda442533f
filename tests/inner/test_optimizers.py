from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from builders import RULES, seed
from fewstep.core import Inner, Params
from fewstep.inner.adagrad import Adagrad

RATES = {"a": 0.1, "b": 0.3}
SHAPES = {"a": (3,), "b": (2, 2)}
every_rule = pytest.mark.parametrize("rule", RULES)


def draw(number: int) -> Params:
    generator = seed(number)
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in SHAPES.items()}


def zeros() -> Params:
    return {name: torch.zeros(shape, dtype=torch.float64) for name, shape in SHAPES.items()}


def after(rule: str, phi: Params, gradients: list[Params], rates: dict[str, float | Tensor]) -> Params:
    optimizer = RULES[rule].ours
    inner = Inner(phi, optimizer.init(phi))
    for gradient in gradients:
        inner = optimizer.step(inner, gradient, rates)
    return inner.phi


def as_function_of_tensors(rule: str) -> Callable[..., tuple[Tensor, ...]]:
    """φ_2 of φ_0, two gradients and the rates, all of them inputs to differentiate by."""

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        phi, first, second, rates = (dict(zip(SHAPES, tensors[i : i + 2], strict=True)) for i in (0, 2, 4, 6))
        return tuple(after(rule, phi, [first, second], rates).values())

    return function


def leaves(*trees: Params) -> tuple[Tensor, ...]:
    rates = [torch.tensor(rate, dtype=torch.float64) for rate in RATES.values()]
    return tuple(tensor.clone().requires_grad_() for tensor in [*(t for tree in trees for t in tree.values()), *rates])


@every_rule
def test_five_steps_equal_those_of_torch(rule: str):
    theta, gradients = draw(0), [draw(i) for i in range(1, 6)]
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in theta.items()}
    groups = [{"params": [parameter], "lr": RATES[name]} for name, parameter in parameters.items()]
    reference = RULES[rule].torch_rule(groups, lr=1.0)
    for gradient in gradients:
        for name, parameter in parameters.items():
            parameter.grad = gradient[name].clone()
        reference.step()
    expected = {name: parameter.detach() for name, parameter in parameters.items()}
    torch.testing.assert_close(after(rule, theta, gradients, RATES), expected, rtol=1e-13, atol=1e-14)


def test_adagrad_with_epsilon_inside_is_its_own_formula():
    """Two steps along g = 3, then g = −1, at α = 0.1, by the definition: n = 9, then 10."""
    phi = after("adagrad-inside", zeros(), [_filled(3.0), _filled(-1.0)], {"a": 0.1, "b": 0.1})
    expected = -0.1 * 3 / 9.7**0.5 + 0.1 * 1 / 10.7**0.5
    torch.testing.assert_close(phi, _filled(expected), rtol=1e-14, atol=0)


@every_rule
def test_a_step_returns_new_values_and_leaves_its_arguments_alone(rule: str):
    optimizer, theta, gradient = RULES[rule].ours, draw(0), draw(1)
    start = Inner(theta, optimizer.init(theta))
    once = optimizer.step(start, gradient, RATES)
    again = optimizer.step(start, gradient, RATES)
    torch.testing.assert_close(theta, draw(0), rtol=0, atol=0)
    torch.testing.assert_close(gradient, draw(1), rtol=0, atol=0)
    torch.testing.assert_close(once, again, rtol=0, atol=0)


@every_rule
def test_the_derivative_by_parameters_gradients_and_rates_passes_gradcheck(rule: str):
    assert torch.autograd.gradcheck(as_function_of_tensors(rule), leaves(draw(0), draw(1), draw(2)))


@pytest.mark.parametrize("rule", ["sgd", "adagrad-inside"])
def test_the_derivative_at_gradients_that_are_exactly_zero_passes_gradcheck(rule: str):
    """Where ε sits beside the root, |g| has a kink at zero and there is no derivative to check."""
    assert torch.autograd.gradcheck(as_function_of_tensors(rule), leaves(draw(0), zeros(), zeros()))


@every_rule
def test_gradients_that_are_exactly_zero_move_nothing_and_make_no_nan(rule: str):
    inputs = leaves(draw(0), zeros(), zeros())
    outputs = as_function_of_tensors(rule)(*inputs)
    torch.testing.assert_close(dict(zip(SHAPES, outputs, strict=True)), draw(0), rtol=0, atol=0)
    derivatives = torch.autograd.grad(sum(output.sum() for output in outputs), inputs)
    assert all(derivative.isfinite().all() for derivative in derivatives)


@every_rule
def test_a_gradient_that_vanishes_after_a_step_makes_no_nan(rule: str):
    inputs = leaves(draw(0), draw(1), zeros())
    derivatives = torch.autograd.grad(sum(output.sum() for output in as_function_of_tensors(rule)(*inputs)), inputs)
    assert all(derivative.isfinite().all() for derivative in derivatives)


@pytest.mark.parametrize(("inside", "outside"), [(-0.1, 0.0), (0.0, -0.1), (0.7, -0.1), (-0.1, 0.7), (0.0, 0.0)])
def test_an_epsilon_that_cannot_divide_is_refused(inside: float, outside: float):
    with pytest.raises(ValueError, match="eps_inside"):
        Adagrad(eps_inside=inside, eps_outside=outside)


def _filled(value: float) -> Params:
    return {name: torch.full(shape, value, dtype=torch.float64) for name, shape in SHAPES.items()}
