"""Files of named tensors with JSON beside them: safetensors, nothing in them is executed, each says what it holds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fewstep.durable import replace_file

Kind = Literal["adapted model", "learner"]

FORMATS: dict[Kind, int] = {"adapted model": 1, "learner": 1}


class Contents(NamedTuple):
    """The JSON and the tensors of a file."""

    header: dict[str, Any]
    tensors: dict[str, Tensor]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix`, by the rest of their names."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}


def write_tensors(path: Path, kind: Kind, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a file, whole or not at all.

    Raises `OSError` where that fails.
    """
    contents = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    described = json.dumps({"kind": kind, "format": FORMATS[kind], **header})
    replace_file(path, save(contents, metadata={"fewstep": described}))


def read_tensors(path: Path, kind: Kind) -> Contents:
    """What `write_tensors` wrote.

    Raises `ValueError` for a file that is missing, damaged, of another kind or of another format.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("fewstep", "{}"))
            tensors = {name: torch.clone(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no file of fewstep: expected its {kind} ({error})") from error
    if not isinstance(header, dict) or header.get("kind") != kind:
        raise ValueError(f"{path} holds {_what(header)}, expected fewstep's {kind}")
    if header.get("format") != FORMATS[kind]:
        raise ValueError(
            f"{path} has format {header.get('format')} of fewstep's {kind}, this fewstep reads format {FORMATS[kind]}; "
            f"open it with the fewstep that wrote it ({header.get('versions', {}).get('fewstep', 'unknown')})"
        )
    return Contents(header, tensors)


def _what(header: Any) -> str:
    if not isinstance(header, dict) or not header:
        return "tensors that fewstep did not write"
    return f"fewstep's {header['kind']}" if "kind" in header else "a checkpoint of training"
