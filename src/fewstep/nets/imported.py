"""A user's own net, named by its import path."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Imported:
    """`path="my_module:Net"`: a callable that takes the number of outputs and returns an `nn.Module`."""

    path: str
    """my_module:Net, a callable that takes the number of outputs"""

    def build(self, inputs: tuple[int, ...], outputs: int) -> nn.Module:
        """`Net(outputs)`, imported from the working directory or the environment; `inputs` is the net's own affair."""
        module_name, _, attribute = self.path.partition(":")
        if not (module_name and attribute):
            raise ValueError(f"net.path={self.path!r} is not of the form 'my_module:Net'")
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        try:
            make = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"net.path={self.path!r} cannot be imported: {error}") from error
        net = make(outputs)
        if not isinstance(net, nn.Module):
            raise ValueError(f"net.path={self.path!r} made a {type(net).__name__}, expected an nn.Module")
        return net
