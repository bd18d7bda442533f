"""A function of tensors as the flat list of operations that it comes to, to be run again without its Python.

A vectorised meta-gradient is a few dozen small operations under three transforms, each of which costs more than the
operations: on the sinusoid's net a traced one takes a quarter of the time, a compiled one a fifteenth.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from fewstep.core import map_tensors, tensors_of, with_tensors

Inputs = TypeVar("Inputs", bound=Any)
Outputs = TypeVar("Outputs", bound=Any)

Execution = Literal["eager", "traced", "compiled"]
"""Run as written; traced once and run again; or traced and compiled by `torch.compile`, which takes a minute or two."""


def traced(
    function: Callable[[Inputs], Outputs], example: Inputs, *, is_compiled: bool = False
) -> Callable[[Inputs], Outputs]:
    """`function` for inputs shaped like `example`: what it does in Python, branches too, it will do for all of them.

    Outputs carry no graph. Raises `ValueError` where it cannot be traced or compiled.
    """
    structure: list[Outputs] = []

    def of_flat(*tensors: Tensor) -> list[Tensor]:
        outputs = function(with_tensors(example, tensors))
        structure[:] = [map_tensors(lambda tensor: torch.empty(0), outputs)]
        return tensors_of(outputs)

    flat = [tensor.detach() for tensor in tensors_of(example)]
    try:
        graph = make_fx(of_flat)(*flat)
    except RuntimeError as error:
        raise ValueError(f"execution='traced': cannot be traced ({_first_line(error)}); take 'eager'") from error
    for node in graph.graph.nodes:  # other tensors need not lie in memory as those that were traced
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    graph.graph.eliminate_dead_code()
    graph.recompile()
    run: Callable[..., list[Tensor]] = _compiled(graph, flat) if is_compiled else graph

    def again(inputs: Inputs) -> Outputs:
        with torch.no_grad():
            return with_tensors(structure[0], run(*(tensor.detach() for tensor in tensors_of(inputs))))

    return again


def _compiled(graph: torch.fx.GraphModule, flat: list[Tensor]) -> Callable[..., list[Tensor]]:
    run: Callable[..., list[Tensor]] = torch.compile(graph)
    try:
        with torch.no_grad():
            run(*flat)
    except RuntimeError as error:  # torch's own kinds of error are all of this one
        raise ValueError(
            f"execution='compiled': torch.compile, which on a CPU needs a C++ compiler such as g++, says "
            f"'{_first_line(error)}'; take execution='traced'"
        ) from error
    return run


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
