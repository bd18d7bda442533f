"""A function of tensors as the flat list of operations that it comes to, to be run again without its Python.

A meta-gradient is hundreds of operations under an autograd engine or under three transforms, which cost as much as
small operations do: on the sinusoid's net a traced one takes a quarter of the time, a compiled one a fifteenth; on
Conv4 with five images a traced one takes four fifths. What runs again is what ran, to the last bit.
"""

import operator
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from fewstep.core import map_tensors, tensors_of, with_tensors

Inputs = TypeVar("Inputs", bound=Any)
Outputs = TypeVar("Outputs", bound=Any)

Execution = Literal["eager", "traced", "compiled"]
"""Run as written; traced once and run again; or traced and compiled by `torch.compile`, which takes a minute or two."""

aten = torch.ops.aten
SAME_TENSOR = (aten.detach.default, aten.alias.default)
"""Operations that matter to autograd alone."""
SAME_IF_SHAPED_ALIKE = (aten.expand.default, aten.view.default, aten._unsafe_view.default)
"""Operations that do nothing where the shape is the one asked for."""
OWN_INVERSE = (aten.t.default, aten.transpose.int)
"""Operations that undo themselves."""
IN_ANY_LAYOUT = {aten.view.default: aten.reshape.default}
"""In place of operations that ask for a layout in memory: other tensors need not lie there as those traced did."""
TO_PYTHON = (Tensor.tolist, Tensor.numpy, Tensor.__array__)
"""What hands values over without an operation that could be written down."""


def traced(
    function: Callable[[Inputs], Outputs], example: Inputs, *, is_compiled: bool = False
) -> Callable[[Inputs], Outputs]:
    """`function` for inputs shaped and laid out like `example`: what it does in Python, it will do for all of them.

    Outputs carry no graph. Raises `ValueError` where it cannot be traced or compiled.
    """
    flat = [tensor.detach() for tensor in tensors_of(example)]
    tape = _Tape(flat)
    try:
        with tape, _KeptFromPython():
            outputs = function(with_tensors(example, flat))
    except RuntimeError as error:
        raise ValueError(f"execution='traced': cannot be traced ({_first_line(error)}); take 'eager'") from error
    graph = tape.graph_to(tensors_of(outputs))
    structure = map_tensors(lambda tensor: torch.empty(0), outputs)
    run: Callable[..., list[Tensor]] = _compiled(graph, flat) if is_compiled else graph

    def again(inputs: Inputs) -> Outputs:
        with torch.no_grad():
            return with_tensors(structure, run(*(tensor.detach() for tensor in tensors_of(inputs))))

    return again


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation that runs in this thread, below autograd and transforms."""

    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph, self._constants = fx.Graph(), torch.nn.Module()
        self._nodes, self._captured = WeakTensorKeyDictionary(), set[int]()
        for i, tensor in enumerate(inputs):
            self._nodes[tensor] = self._graph.placeholder(f"input_{i}")

    def graph_to(self, outputs: list[Tensor]) -> fx.GraphModule:
        """What leads to `outputs`, as a function of the inputs."""
        self._graph.output([self._node_of(output) for output in outputs])
        for node in reversed(self._graph.nodes):
            if not node.users and node.op in ("call_function", "get_attr") and not _acts(node.target):
                self._graph.erase_node(node)
        return fx.GraphModule(self._constants, self._graph)

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        options = options or {}
        if _depends_on_values(function, arguments):
            raise RuntimeError(f"{function} gives Python, or the shape of a tensor, what other inputs do not")
        if any(isinstance(option, torch.Generator) for option in options.values()):
            raise RuntimeError(
                f"{function} draws random numbers from a generator, which Python may set anew every time"
            )
        if any(self._is_captured(tensor) for tensor in _written(function, arguments, options)):
            raise RuntimeError(f"{function} writes to a tensor that is no input, nor made of any: a count of calls")
        if function is aten.lift_fresh.default and arguments[0] not in self._nodes:
            function = aten.clone.default  # what Python has just made and may write to, it makes every time
        made = function(*arguments, **options)
        if (same := self._same(function, arguments, made)) is not None:
            self._nodes[made] = same
            return made
        called = IN_ANY_LAYOUT.get(function, function)
        node = self._graph.call_function(called, *map_aggregate((arguments, options), self._node_of))
        if isinstance(made, Tensor):
            self._nodes[made] = node
        elif isinstance(made, tuple | list):
            for i, one in enumerate(made):
                if isinstance(one, Tensor):
                    self._nodes[one] = self._graph.call_function(operator.getitem, (node, i))
        return made

    def _same(self, function: Any, arguments: tuple[Any, ...], made: Any) -> Any:
        """The node of the tensor that `made` is but another name for, if it is."""
        if function in SAME_TENSOR:
            return self._node_of(arguments[0])
        if function in SAME_IF_SHAPED_ALIKE and made.shape == arguments[0].shape:
            return self._node_of(arguments[0])
        if function in OWN_INVERSE:
            node = self._node_of(arguments[0])
            if node.target is function and node.args[1:] == arguments[1:]:
                return node.args[0]
        return None

    def _node_of(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value not in self._nodes:
            name = f"constant_{len(list(self._constants.buffers()))}"
            self._constants.register_buffer(name, value.detach())
            self._nodes[value] = self._graph.get_attr(name)
            self._captured.add(value.untyped_storage()._cdata)
        return self._nodes[value]

    def _is_captured(self, tensor: Tensor) -> bool:
        """Whether a tensor lies where one lies that is neither an input nor made of any."""
        return tensor not in self._nodes or tensor.untyped_storage()._cdata in self._captured


class _KeptFromPython(TorchFunctionMode):
    """Lets no values out to Python by ways that the tape does not see."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        if function in TO_PYTHON:
            raise RuntimeError(f"Tensor.{function.__name__} gives Python what other inputs do not")
        return function(*arguments, **(options or {}))


def _depends_on_values(function: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether what comes out is a number for Python, or has a shape that depends on values."""
    if function is aten.index.Tensor:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in arguments[1])
    return torch.Tag.data_dependent_output in function.tags or torch.Tag.dynamic_output_shape in function.tags


def _written(function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operation writes to."""
    if not function._schema.is_mutable:
        return []
    given = {argument.name: value for argument, value in zip(function._schema.arguments, arguments, strict=False)}
    written = [
        (given | options).get(argument.name)
        for argument in function._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return tensors_of([value for value in written if value is not None])


def _acts(target: Any) -> bool:
    """Whether an operation does more than to return something: it writes to a tensor, or raises an error."""
    schema = getattr(target, "_schema", None)
    return schema is not None and (schema.is_mutable or not schema.returns)


def _compiled(graph: fx.GraphModule, flat: list[Tensor]) -> Callable[..., list[Tensor]]:
    # the C++ wrapper calls kernels without Python in between, which counts where each takes microseconds
    run: Callable[..., list[Tensor]] = torch.compile(graph.forward, options={"cpp_wrapper": True})
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
