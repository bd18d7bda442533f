import pytest
import torch
from torch import Tensor

from fewstep.core import Params
from fewstep.differentiation import grad, grad_with_aux, is_transforming, vjp


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cubic(at: Params) -> Tensor:
    """Σ a³ b, of which the gradient is (3 a² b, a³)."""
    return (at["a"] ** 3 * at["b"]).sum()


AT = {"a": double(2.0, -1.0), "b": double(3.0, 5.0), "unused": double(7.0)}
GRADIENT = {"a": double(36.0, 15.0), "b": double(8.0, -1.0), "unused": double(0.0)}


def test_the_gradient_of_a_cubic_is_what_one_computes_by_hand_and_zero_for_what_is_unused():
    torch.testing.assert_close(grad(cubic, AT), GRADIENT)


def test_inside_a_vmap_it_is_the_same_for_every_task():
    tasks = {name: torch.stack([value, value]) for name, value in AT.items()}
    found = torch.func.vmap(lambda at: grad(cubic, at))(tasks)
    torch.testing.assert_close(found, {name: torch.stack([value, value]) for name, value in GRADIENT.items()})


def test_it_carries_a_graph_only_where_a_tensor_requires_a_gradient_and_grad_mode_is_on():
    assert not grad(cubic, AT)["a"].requires_grad
    followed = {**AT, "a": AT["a"].clone().requires_grad_()}
    gradient = grad(cubic, followed)
    assert gradient["a"].requires_grad
    (second,) = torch.autograd.grad(gradient["a"].sum(), followed["a"])
    torch.testing.assert_close(second, 6 * AT["a"] * AT["b"])
    with torch.no_grad():
        torch.testing.assert_close(grad(cubic, followed), GRADIENT)
        assert not grad(cubic, followed)["a"].requires_grad


def test_it_is_the_partial_derivative_where_one_tensor_was_made_from_another():
    """b = a²: of a³ b the partial derivative by a is 3 a² b = 3 a⁴, the total one 5 a⁴."""
    a = double(2.0).requires_grad_()
    torch.testing.assert_close(grad(cubic, {"a": a, "b": a**2})["a"].detach(), double(48.0))


def test_further_tensors_come_detached():
    gradient, aux = grad_with_aux(lambda at: (cubic(at), {"twice": 2 * at["a"]}), AT)
    torch.testing.assert_close(gradient, GRADIENT)
    torch.testing.assert_close(aux, {"twice": 2 * AT["a"]})
    assert not aux["twice"].requires_grad


@pytest.mark.parametrize("vectorised", [False, True])
def test_a_cotangent_is_pulled_back_through_outputs_that_need_not_depend_on_the_inputs(vectorised: bool):
    """a ↦ (a³, a constant, a itself), cotangents 1, 1, 1: 3a² + 1."""

    def pulled(a: Tensor) -> Tensor:
        outputs, pull_back, aux = vjp(lambda at: ([at["a"] ** 3, double(1.0), at["a"]], at["a"] + 1), {"a": a})
        assert vectorised or not any(tensor.requires_grad for tensor in (*outputs, aux))
        return pull_back([torch.ones_like(output) for output in outputs])["a"]

    a = double(2.0)
    found = torch.func.vmap(pulled)(a[None])[0] if vectorised else pulled(a)
    torch.testing.assert_close(found, double(13.0))


def test_a_function_of_nothing_pulls_back_zeros():
    _, pull_back, _ = vjp(lambda at: ([double(1.0)], ()), {"a": double(2.0)})
    torch.testing.assert_close(pull_back([double(1.0)]), {"a": double(0.0)})


def test_transforms_are_noticed():
    assert not is_transforming()
    assert torch.func.vmap(lambda x: x + is_transforming())(double(0.0)).item() == 1
    assert not is_transforming()


def test_in_inference_mode_gradients_are_the_same():
    with torch.inference_mode():
        torch.testing.assert_close(grad(cubic, AT), GRADIENT)
        outputs, pull_back, _ = vjp(lambda at: ([at["a"] ** 3], ()), {"a": double(2.0)})
        torch.testing.assert_close(pull_back([torch.ones_like(outputs[0])]), {"a": double(12.0)})


def test_a_gradient_is_differentiable_by_other_arguments_too():
    """∂/∂x of ∂/∂a of a² x is 2 a."""
    x = double(5.0).requires_grad_()
    gradient = grad(lambda at, x: (at["a"] ** 2 * x).sum(), {"a": double(3.0)}, x)["a"]
    torch.testing.assert_close(torch.autograd.grad(gradient, x)[0], double(6.0))
