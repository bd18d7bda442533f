"""Files of JSON, read into values of the types that they are to have."""

import json
from pathlib import Path
from typing import Any

from fewstep.conforming import conforming


def read_json(path: Path, hint: Any) -> Any:
    """The value in a file, which fits `hint` (`fewstep.conforming`).

    Raises `ValueError` that names the file, and the place in it, for one that is damaged; `OSError` for none.
    """
    content = path.read_bytes()
    try:
        return conforming(json.loads(content), hint, "it")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
