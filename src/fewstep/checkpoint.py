"""Checkpoints: one safetensors file each, its JSON in the metadata, on disk whole or not at all."""

from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from torch import Tensor

from fewstep.conforming import conforming
from fewstep.core import Meta
from fewstep.formats import check_format
from fewstep.tensor_file import Contents, by_path, meta_of, read_contents, write_contents

FORMAT = 1
"""`fewstep.formats` says when it is raised."""
OPTIMIZER = "optimizer/"


class _Optimizer(TypedDict):
    param_groups: list[dict[str, Any]]
    state: dict[str, dict[str, Any]]


class _Always(TypedDict):
    update: int
    seconds: float
    identity: str
    optimizer: _Optimizer


class _Header(_Always, total=False):
    about: dict[str, Any]


class Checkpoint(NamedTuple):
    """The state after `update` updates.

    `identity` says of which recipe and seed; `about` is plain values for whoever finds the file alone: the recipe,
    the mapping, the versions.
    """

    update: int
    seconds: float
    identity: str
    meta: Meta
    optimizer: dict[str, Any]
    about: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write aside, sync file and folder, rename.

    Raises `OSError` when the disk is full; what was at `path` is then untouched.
    """
    tensors = by_path(checkpoint.meta)
    scalars: dict[str, Any] = {"param_groups": checkpoint.optimizer["param_groups"], "state": {}}
    for index, slots in checkpoint.optimizer["state"].items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"{OPTIMIZER}{index}/{slot}"] = value
            else:
                scalars["state"].setdefault(str(index), {})[slot] = value
    header = {
        "format": FORMAT,
        "update": checkpoint.update,
        "seconds": checkpoint.seconds,
        "identity": checkpoint.identity,
        "about": checkpoint.about,
        "optimizer": scalars,
    }
    write_contents(path, Contents(header, tensors))


def load_checkpoint(path: Path, *, identity: str | None = None) -> Checkpoint:
    """Read a checkpoint; with `identity`, only one of that recipe and seed.

    Raises `ValueError` for a file that is truncated, of another format, or of another recipe.
    """
    header, tensors = _read(path)
    check_format(path, header.get("format") if isinstance(header, dict) else None, FORMAT, "checkpoints")
    try:
        checkpoint = _of(conforming(header, _Header, "its JSON"), tensors)
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    if identity is not None and checkpoint.identity != identity:
        raise ValueError(
            f"{path} belongs to another run, of another recipe, net, tasks or seed ({checkpoint.identity}, expected "
            f"{identity}); give this run a folder of its own, or restore the checkpoints that belong here"
        )
    return checkpoint


def _of(header: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    meta = meta_of({key: tensor for key, tensor in tensors.items() if not key.startswith(OPTIMIZER)})
    optimizer: dict[str, Any] = {
        "param_groups": header["optimizer"]["param_groups"],
        "state": {int(index): dict(slots) for index, slots in header["optimizer"]["state"].items()},
    }
    for key, tensor in tensors.items():
        if key.startswith(OPTIMIZER):
            _, index, slot = key.split("/", 2)
            optimizer["state"].setdefault(int(index), {})[slot] = tensor
    return Checkpoint(header["update"], header["seconds"], header["identity"], meta, optimizer, header.get("about", {}))


def _read(path: Path) -> Contents:
    try:
        return read_contents(path)
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not a whole fewstep checkpoint ({error}); delete it to resume from the one before")
