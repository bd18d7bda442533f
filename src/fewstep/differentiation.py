"""Gradients and vector-Jacobian products of functions of named tensors, by whichever way is exact and fast.

Inside a vmap they are `torch.func`'s: a whole meta-gradient within the vmap is exact, where one taken outside of it
is silently wrong. Outside of any transform they are the autograd engine's, which takes less time, and in which a
hand-written `torch.autograd.Function` runs.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from fewstep.core import Params, map_tensors, tensors_of, with_tensors

Tree = TypeVar("Tree", bound=Any)


_NO_DERIVATIVE = re.compile(r"derivative for '?(?:aten::)?(\w+)'? is not implemented")
_WAYS = {
    "scaled_dot_product": "call it under torch.nn.attention.sdpa_kernel(SDPBackend.MATH)",
    "cudnn_rnn": "call it under torch.backends.cudnn.flags(enabled=False)",
}


def is_transforming() -> bool:
    """Whether a `torch.func` transform, as a vmap, is at work in this thread."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _is_left_to_torch() -> bool:
    """Whether `torch.func` is to do it: within its transforms, and in inference mode, which records no graph."""
    return is_transforming() or torch.is_inference_mode_enabled()


def grad(function: Callable[..., Tensor], at: Params, *arguments: Any) -> Params:
    """∇ function(at, *arguments), a scalar, by `at`; differentiable in turn where any tensor given requires that."""
    if _is_left_to_torch():
        with _naming_what_has_no_derivative():
            gradient: Params = torch.func.grad(function)(at, *arguments)
            return gradient
    return grad_with_aux(lambda *given: (function(*given), ()), at, *arguments)[0]


def grad_with_aux(function: Callable[..., tuple[Tensor, Tree]], at: Params, *arguments: Any) -> tuple[Params, Tree]:
    """The same of a function that returns further tensors beside the scalar, which come detached."""
    if _is_left_to_torch():
        with _naming_what_has_no_derivative():
            both: tuple[Params, Tree] = torch.func.grad(function, has_aux=True)(at, *arguments)
            return both
    given = [*at.values(), *(tensor for argument in arguments for tensor in _tensors_in(argument))]
    is_differentiable = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    with torch.enable_grad():
        # nodes of their own, which nothing but `function` reads: else a path from one to another would count too
        inputs = {
            name: value.view_as(value) if is_differentiable and value.requires_grad else _leaf(value)
            for name, value in at.items()
        }
        value, aux = function(inputs, *arguments)
        gradients = _grad([value], list(inputs.values()), None, create_graph=is_differentiable)
    return dict(zip(inputs, gradients, strict=True)), map_tensors(torch.detach, aux)


def hessian_product(function: Callable[..., Tensor], at: Params, *arguments: Any) -> Callable[[Params], Params]:
    """v ↦ H v with H the Hessian of function(at, *arguments), a scalar, by `at`; works any number of times.

    H is symmetric, so that it is the vector-Jacobian product of the gradient.
    """
    return vjp(lambda point: (grad(function, point, *arguments), ()), at, is_kept=True)[1]


def vjp(
    function: Callable[[Tree], tuple[Any, Any]], at: Tree, *, is_kept: bool = False
) -> tuple[Any, Callable[[Any], Tree], Any]:
    """The outputs of `function(at)`, detached; what pulls a cotangent of theirs back to `at`; and further tensors.

    `function` returns both, outputs first. The pull-back works once, unless its graph `is_kept`.
    """
    if _is_left_to_torch():
        outputs, pull, *rest = torch.func.vjp(function, at, has_aux=True)

        def pull_by_torch(cotangent: Any) -> Tree:
            with _naming_what_has_no_derivative():
                return cast(Tree, pull(cotangent)[0])

        return outputs, pull_by_torch, rest[0]
    leaves = map_tensors(_leaf, at)
    with torch.enable_grad():
        outputs, aux = function(leaves)

    def pull_back(cotangent: Any) -> Tree:
        parts = tensors_of(outputs), tensors_of(leaves), tensors_of(cotangent)
        return with_tensors(leaves, _grad(*parts, create_graph=False, retain_graph=is_kept))

    return map_tensors(torch.detach, outputs), pull_back, map_tensors(torch.detach, aux)


def _tensors_in(argument: Any) -> list[Tensor]:
    return tensors_of(argument) if isinstance(argument, Tensor | dict | list | tuple) else []


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()


def _grad(
    outputs: list[Tensor],
    inputs: list[Tensor],
    cotangents: list[Tensor] | None,
    *,
    create_graph: bool,
    retain_graph: bool = False,
) -> list[Tensor]:
    """Zeros for what no output depends on."""
    dependent = [i for i, output in enumerate(outputs) if output.requires_grad]
    if not dependent:
        return [torch.zeros_like(value) for value in inputs]
    with _naming_what_has_no_derivative():
        found = torch.autograd.grad(
            [outputs[i] for i in dependent],
            inputs,
            None if cotangents is None else [cotangents[i] for i in dependent],
            create_graph=create_graph,
            retain_graph=create_graph or retain_graph,
            allow_unused=True,
        )
    return [torch.zeros_like(value) if one is None else one for value, one in zip(inputs, found, strict=True)]


class _naming_what_has_no_derivative:  # noqa: N801  # used as a function; a generator would cost each gradient microseconds
    """Turns torch's refusal to differentiate an operation twice into a `ValueError` with the ways out."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, RuntimeError):
            return
        if found := _NO_DERIVATIVE.search(str(error)):
            operation = found[1]
            way = _WAYS.get(next((part for part in _WAYS if part in operation), ""), "write it by other operations")
            raise ValueError(
                f"{operation} in the net has no second derivative: {way}, or take the first order (algorithm.order 1)"
            ) from error
