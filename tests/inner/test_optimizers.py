from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from builders import RULES, epsilons, seed
from fewstep.core import Inner, Params, map_tensors
from fewstep.inner.adagrad import Adagrad
from fewstep.inner.adam import Adam
from fewstep.inner.momentum import Momentum
from fewstep.inner.optimizer import InnerOptimizer, Rates, root
from fewstep.inner.rmsprop import RMSprop

RATES = {"a": 0.1, "b": 0.3}
SHAPES = {"a": (3,), "b": (2, 2)}
OPTIMIZERS: dict[str, InnerOptimizer] = {
    **{name: rule.ours for name, rule in RULES.items()},
    # torch has no ε inside the root for these two
    "rmsprop-inside": RMSprop(decay=0.8, eps_inside=0.7, eps_outside=0.0),
    "adam-inside": Adam(beta1=0.5, beta2=0.75, eps_inside=0.7, eps_outside=0.0),
    "adam-both": Adam(eps_inside=1e-2, eps_outside=0.1),
}
# where ε sits beside the root alone, |g| has a kink at zero and there is no derivative to check
SMOOTH_AT_ZERO = [name for name, ours in OPTIMIZERS.items() if epsilons(ours)[0] >= 1e-2]
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def draw(number: int) -> Params:
    generator = seed(number)
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in SHAPES.items()}


def zeros() -> Params:
    return {name: torch.zeros(shape, dtype=torch.float64) for name, shape in SHAPES.items()}


def filled(value: float) -> Params:
    return {name: torch.full(shape, value, dtype=torch.float64) for name, shape in SHAPES.items()}


def after(optimizer: InnerOptimizer, phi: Params, gradients: list[Params], rates: Rates) -> Inner:
    inner = Inner(phi, optimizer.init(phi))
    for gradient in gradients:
        inner = optimizer.step(inner, gradient, rates)
    return inner


def as_function_of_tensors(optimizer: InnerOptimizer) -> Callable[..., tuple[Tensor, ...]]:
    """φ_2 of φ_0, two gradients and the rates, all of them inputs to differentiate by."""

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        phi, first, second, rates = (dict(zip(SHAPES, tensors[i : i + 2], strict=True)) for i in (0, 2, 4, 6))
        return tuple(after(optimizer, phi, [first, second], rates).phi.values())

    return function


def leaves(*trees: Params) -> tuple[Tensor, ...]:
    rates = [torch.tensor(rate, dtype=torch.float64) for rate in RATES.values()]
    return tuple(tensor.clone().requires_grad_() for tensor in [*(t for tree in trees for t in tree.values()), *rates])


@pytest.mark.parametrize("rule", RULES)
def test_five_steps_at_a_rate_per_tensor_equal_those_of_torch(rule: str):
    theta, gradients = draw(0), [draw(i) for i in range(1, 6)]
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in theta.items()}
    groups = [{"params": [parameter], "lr": RATES[name]} for name, parameter in parameters.items()]
    reference = RULES[rule].torch_rule(groups, lr=1.0)
    for gradient in gradients:
        for name, parameter in parameters.items():
            parameter.grad = gradient[name].clone()
        reference.step()
    expected = {name: parameter.detach() for name, parameter in parameters.items()}
    torch.testing.assert_close(after(RULES[rule].ours, theta, gradients, RATES).phi, expected, rtol=1e-13, atol=1e-14)


KNOWN = {
    # v = 3, then 0.9 · 3 − 1 = 1.7
    "momentum": (Momentum(momentum=0.9), 3 + 1.7),
    # 3 + 0.9 · 3, then −1 + 0.9 · 1.7
    "nesterov": (Momentum(momentum=0.9, nesterov=True), 5.7 + 0.53),
    # n = 9, then 10
    "adagrad": (Adagrad(eps_inside=0.7), 3 / 9.7**0.5 - 1 / 10.7**0.5),
    # v = 0.1 · 9 = 0.9, then 0.9 · 0.9 + 0.1 = 0.91
    "rmsprop": (RMSprop(decay=0.9, eps_inside=0.7, eps_outside=0.2), 3 / (1.6**0.5 + 0.2) - 1 / (1.61**0.5 + 0.2)),
    # m = 3/2, m̂ = 3, v = 9/4, v̂ = 9; then m = 3/4 − 1/2, m̂ = m / (3/4) = 1/3, v = 31/16, v̂ = v / (7/16) = 31/7
    "adam": (
        Adam(beta1=0.5, beta2=0.75, eps_inside=0.7, eps_outside=0.2),
        3 / (9.7**0.5 + 0.2) + 1 / 3 / ((31 / 7 + 0.7) ** 0.5 + 0.2),
    ),
    # m̂ is g itself
    "adam-beta1-0": (
        Adam(beta1=0.0, beta2=0.75, eps_inside=0.7, eps_outside=0.0),
        3 / 9.7**0.5 - (31 / 7 + 0.7) ** -0.5,
    ),
}


@pytest.mark.parametrize(("optimizer", "descent"), KNOWN.values(), ids=KNOWN)
def test_two_steps_are_what_one_computes_by_hand(optimizer: InnerOptimizer, descent: float):
    """Along g = 3, then g = −1, at α = 0.1, from φ = 0, by each definition."""
    phi = after(optimizer, zeros(), [filled(3.0), filled(-1.0)], {"a": 0.1, "b": 0.1}).phi
    torch.testing.assert_close(phi, filled(-0.1 * descent), rtol=1e-14, atol=0)


def test_the_bias_of_adam_is_corrected_to_the_last_bits_of_float32():
    """Of constant gradients m̂ = g and v̂ = g², so three steps go 3 α; 1 − 0.999ᵗ in float32 would be 1e-5 off."""
    start, gradient = {"a": torch.zeros(3)}, {"a": torch.full((3,), 2.0)}
    phi = after(Adam(), start, [gradient] * 3, {"a": 0.1}).phi
    torch.testing.assert_close(phi, {"a": torch.full((3,), -0.3)}, rtol=5e-7, atol=0)


@every_optimizer
def test_a_step_returns_new_values_and_leaves_its_arguments_alone(name: str):
    optimizer, theta, gradient = OPTIMIZERS[name], draw(0), draw(1)
    start = Inner(theta, optimizer.init(theta))
    once = optimizer.step(start, gradient, RATES)
    again = optimizer.step(start, gradient, RATES)
    torch.testing.assert_close(theta, draw(0), rtol=0, atol=0)
    torch.testing.assert_close(gradient, draw(1), rtol=0, atol=0)
    torch.testing.assert_close(start.slots, optimizer.init(theta), rtol=0, atol=0)
    torch.testing.assert_close(once, again, rtol=0, atol=0)


@every_optimizer
def test_no_tensor_is_two_slots_for_a_persistent_slot_is_written_in_place(name: str):
    slots = OPTIMIZERS[name].init(draw(0))
    tensors = [tensor for slot in slots.values() for tensor in slot.values()]
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)


@every_optimizer
def test_slots_are_floating_tensors_under_the_names_of_the_parameters(name: str):
    start = OPTIMIZERS[name].init(draw(0))
    slots = after(OPTIMIZERS[name], draw(0), [draw(1)], RATES).slots
    assert slots.keys() == start.keys()
    for slot, before in zip(slots.values(), start.values(), strict=True):
        assert {key: (value.shape, value.dtype) for key, value in slot.items()} == {
            key: (value.shape, torch.float64) for key, value in before.items()
        }
        assert set(slot) == set(SHAPES)


@every_optimizer
def test_tasks_mapped_together_step_as_each_does_alone(name: str):
    theta, firsts, seconds = draw(0), [draw(1), draw(2)], [draw(3), draw(4)]

    def adapted(first: Params, second: Params) -> Inner:
        return after(OPTIMIZERS[name], theta, [first, second], RATES)

    together = torch.func.vmap(adapted)(*(map_tensors(_stack, *gradients) for gradients in (firsts, seconds)))
    alone = map_tensors(_stack, *(adapted(*gradients) for gradients in zip(firsts, seconds, strict=True)))
    torch.testing.assert_close(together, alone, rtol=1e-14, atol=1e-15)


@every_optimizer
def test_the_derivative_by_parameters_gradients_and_rates_passes_gradcheck(name: str):
    assert torch.autograd.gradcheck(as_function_of_tensors(OPTIMIZERS[name]), leaves(draw(0), draw(1), draw(2)))


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if OPTIMIZERS[name].init(zeros())])
def test_the_derivative_by_slots_that_are_carried_over_passes_gradcheck(name: str):
    slots = after(OPTIMIZERS[name], draw(0), [draw(1), draw(2)], RATES).slots
    inputs = [value.clone().requires_grad_() for slot in slots.values() for value in slot.values()]

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        values = iter(tensors)
        carried = {slot: {key: next(values) for key in SHAPES} for slot in slots}
        return tuple(OPTIMIZERS[name].step(Inner(draw(0), carried), draw(3), RATES).phi.values())

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("name", SMOOTH_AT_ZERO)
def test_the_derivative_at_gradients_that_are_exactly_zero_passes_gradcheck(name: str):
    assert torch.autograd.gradcheck(as_function_of_tensors(OPTIMIZERS[name]), leaves(draw(0), zeros(), zeros()))


@every_optimizer
def test_gradients_that_are_exactly_zero_move_nothing_and_make_no_nan(name: str):
    inputs = leaves(draw(0), zeros(), zeros())
    outputs = as_function_of_tensors(OPTIMIZERS[name])(*inputs)
    torch.testing.assert_close(dict(zip(SHAPES, outputs, strict=True)), draw(0), rtol=0, atol=0)
    derivatives = torch.autograd.grad(sum(output.sum() for output in outputs), inputs)
    assert all(derivative.isfinite().all() for derivative in derivatives)


@pytest.mark.parametrize("gradients", [(draw(1), zeros()), (zeros(), draw(1))], ids=["vanishes", "appears"])
@every_optimizer
def test_a_gradient_that_is_zero_at_one_of_two_steps_makes_no_nan(name: str, gradients: tuple[Params, Params]):
    inputs = leaves(draw(0), *gradients)
    outputs = as_function_of_tensors(OPTIMIZERS[name])(*inputs)
    assert all(output.isfinite().all() for output in outputs)
    derivatives = torch.autograd.grad(sum(output.sum() for output in outputs), inputs)
    assert all(derivative.isfinite().all() for derivative in derivatives)


@pytest.mark.parametrize(("dtype", "inside"), [(torch.float32, 1e-50), (torch.float16, 1e-8)])
def test_an_epsilon_that_rounds_to_zero_makes_no_nan(dtype: torch.dtype, inside: float):
    square = torch.zeros(2, dtype=dtype, requires_grad=True)
    rooted = root(square, inside, 0.5)
    assert rooted.tolist() == [0.5, 0.5]
    assert torch.autograd.grad(rooted.sum(), square)[0].tolist() == [0, 0]


@pytest.mark.parametrize("kind", [Adagrad, RMSprop, Adam])
@pytest.mark.parametrize(("inside", "outside"), [(-0.1, 0.0), (0.0, -0.1), (0.7, -0.1), (-0.1, 0.7), (0.0, 0.0)])
def test_an_epsilon_that_cannot_divide_is_refused(kind: type, inside: float, outside: float):
    with pytest.raises(ValueError, match=f"{kind.__name__} divides .* got eps_inside={inside}, eps_outside={outside}"):
        kind(eps_inside=inside, eps_outside=outside)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize(
    ("kind", "field"), [(Momentum, "momentum"), (RMSprop, "decay"), (Adam, "beta1"), (Adam, "beta2")]
)
def test_a_decay_that_averages_nothing_is_refused(kind: type, field: str, value: float):
    with pytest.raises(ValueError, match=f"{field}={value}: expected at least 0 and less than 1"):
        kind(**{field: value})


def _stack(*tensors: Tensor) -> Tensor:
    return torch.stack(tensors)
