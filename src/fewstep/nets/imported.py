"""A user's own net, named by its import path."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from fewstep.importing import imported


@dataclass(frozen=True, kw_only=True)
class Imported:
    """`path="my_module:Net"`: a class or function that makes an `nn.Module` of so many outputs.

    To build it runs that module. So it is built where a caller names it, and for run folders, which are one's own:
    `fewstep resume` and whatever else takes a RUN imports the code that is trained there. Do not use a run folder of
    somebody whose code you would not run. Learner files and adapted models are for passing on: what they name is not
    imported.
    """

    path: str
    """my_module:Net, called with the number of outputs; with inputs=(channels, height, width) too where it takes it"""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """The net, imported from the working directory or the environment.

        Arguments that are called `inputs` and `outputs` are given by these names; else the first is `outputs`.
        Raises `ValueError` for a path that cannot be imported and for what makes no net when it is called so.
        """
        make = imported(self.path, said_as=f"net.path={self.path!r}", example="my_module:Net")
        if not callable(make) or isinstance(make, nn.Module):
            raise ValueError(
                f"net.path={self.path!r} is {_described(make)}, expected a class or function that makes a net for "
                f"so many outputs; write one, as `def net(outputs): ...`"
            )
        positional, named = self._arguments(make, inputs, outputs)
        net = make(*positional, **named)
        if not isinstance(net, nn.Module):
            raise ValueError(f"net.path={self.path!r} made a {type(net).__name__}, expected an nn.Module")
        return net

    def _arguments(
        self, make: Callable[..., Any], inputs: tuple[int, ...], outputs: int
    ) -> tuple[tuple[int, ...], dict[str, Any]]:
        """What to call `make` with: the names that it knows, by name."""
        signature = inspect.signature(make)
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        known = {name for name, parameter in signature.parameters.items() if parameter.kind in by_name}
        named = {name: value for name, value in (("inputs", inputs), ("outputs", outputs)) if name in known}
        positional = () if "outputs" in named else (outputs,)
        try:
            signature.bind(*positional, **named)
        except TypeError as error:
            raise ValueError(
                f"net.path={self.path!r} takes {signature}, expected (outputs) or (inputs, outputs) by these names, "
                f"and a default for whatever else there is ({error}); write a function of these that calls it"
            ) from error
        return positional, named


def _described(made: object) -> str:
    return "a net already" if isinstance(made, nn.Module) else f"a {type(made).__name__}"
