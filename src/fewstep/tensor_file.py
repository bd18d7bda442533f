"""Files of named tensors with JSON beside them: safetensors, nothing in them is executed, each says what it holds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fewstep.core import Meta, Params
from fewstep.durable import replace_file
from fewstep.formats import check_format

Kind = Literal["adapted model", "learner"]

FORMATS: dict[Kind, int] = {"adapted model": 1, "learner": 1}
"""`fewstep.formats` says when one is raised."""


class Contents(NamedTuple):
    """The JSON and the tensors of a file."""

    header: dict[str, Any]
    tensors: dict[str, Tensor]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix`, by the rest of their names."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}


def write_contents(path: Path, contents: Contents) -> None:
    """Write a file, whole or not at all.

    Raises `OSError` where that fails.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in contents.tensors.items()}
    replace_file(path, save(tensors, metadata={"fewstep": json.dumps(contents.header)}))


def read_contents(path: Path) -> Contents:
    """What `write_contents` wrote. What the file holds is data: nothing in it is run or imported.

    Raises `ValueError` for a file that is damaged, and `KeyError` for one whose tensors fewstep did not write.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["fewstep"])
            tensors = {name: torch.clone(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if odd := [name for name, tensor in tensors.items() if tensor.is_complex()]:
        raise ValueError(f"'{odd[0]}' holds complex numbers, which fewstep never writes")
    return Contents(header, tensors)


def by_path(meta: Meta) -> Params:
    """What was learned and the state beside it, as `learned/GROUP/NAME` and `state/GROUP/NAME`."""
    return {
        f"{kind}/{group}/{name}": tensor
        for kind, groups in meta._asdict().items()
        for group, params in groups.items()
        for name, tensor in params.items()
    }


def meta_of(tensors: Mapping[str, Tensor]) -> Meta:
    """What `by_path` was given. Raises `KeyError` or `ValueError` for other names."""
    kinds: dict[str, dict[str, Params]] = {kind: {} for kind in Meta._fields}
    for path, tensor in tensors.items():
        kind, group, name = path.split("/", 2)
        kinds[kind].setdefault(group, {})[name] = tensor
    return Meta(**kinds)


def write_tensors(path: Path, kind: Kind, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a file that says what it holds, whole or not at all.

    Raises `OSError` where that fails.
    """
    write_contents(path, Contents({"kind": kind, "format": FORMATS[kind], **header}, dict(tensors)))


def read_tensors(path: Path, kind: Kind) -> Contents:
    """What `write_tensors` wrote.

    Raises `ValueError` for a file that is missing, damaged, of another kind or of another format.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        header, tensors = read_contents(path)
    except KeyError:
        header, tensors = {}, {}
    except ValueError as error:
        raise ValueError(f"{path} is damaged, or no file of fewstep: expected its {kind} ({error})") from error
    if not isinstance(header, dict) or header.get("kind") != kind:
        raise ValueError(f"{path} holds {_what(header)}, expected fewstep's {kind}")
    check_format(path, header.get("format"), FORMATS[kind], f"{kind}s")
    return Contents(header, tensors)


def _what(header: Any) -> str:
    if not isinstance(header, dict) or not header:
        return "tensors that fewstep did not write"
    return f"fewstep's {header['kind']}" if "kind" in header else "a checkpoint of training"
