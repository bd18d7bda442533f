"""A user's own code, named by its import path."""

import importlib
import sys
from pathlib import Path
from typing import Any


def imported(path: str, *, said_as: str, example: str) -> Any:
    """What `path="my_module:name"` names, from the working directory or the environment; the module is run.

    `said_as` and `example` are for the errors. Raises `ValueError` for a path that cannot be imported.
    """
    module_name, _, attribute = path.partition(":")
    if not (module_name and attribute):
        raise ValueError(f"{said_as} is not of the form '{example}'")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # whatever the module raises while it is run
        raise ValueError(f"{said_as} cannot be imported: {error} ({type(error).__name__})") from error
