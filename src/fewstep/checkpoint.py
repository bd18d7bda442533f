"""Checkpoints: one safetensors file each, its JSON in the metadata, on disk whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fewstep.core import Meta
from fewstep.durable import replace_file

FORMAT = 1


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
    tensors = {
        f"{kind}/{group}/{name}": tensor
        for kind, groups in checkpoint.meta._asdict().items()
        for group, params in groups.items()
        for name, tensor in params.items()
    }
    scalars: dict[str, Any] = {"param_groups": checkpoint.optimizer["param_groups"], "state": {}}
    for index, slots in checkpoint.optimizer["state"].items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{slot}"] = value
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
    contents = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    replace_file(path, save(contents, metadata={"fewstep": json.dumps(header)}))


def load_checkpoint(path: Path, *, identity: str | None = None) -> Checkpoint:
    """Read a checkpoint; with `identity`, only one of that recipe and seed.

    Raises `ValueError` for a file that is truncated, of another format, or of another recipe.
    """
    header, tensors = _read(path)
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} has checkpoint format {header.get('format')}, this fewstep reads format {FORMAT}; "
            f"open it with the fewstep that wrote it"
        )
    if identity is not None and header["identity"] != identity:
        raise ValueError(
            f"{path} belongs to another run, of another recipe, net, tasks or seed ({header['identity']}, expected "
            f"{identity}); give this run a folder of its own, or restore the checkpoints that belong here"
        )
    meta = Meta({}, {})
    optimizer: dict[str, Any] = {
        "param_groups": header["optimizer"]["param_groups"],
        "state": {int(index): dict(slots) for index, slots in header["optimizer"]["state"].items()},
    }
    for key, tensor in tensors.items():
        kind, group, name = key.split("/", 2)
        if kind == "optimizer":
            optimizer["state"].setdefault(int(group), {})[name] = tensor
        else:
            getattr(meta, kind).setdefault(group, {})[name] = tensor
    return Checkpoint(header["update"], header["seconds"], header["identity"], meta, optimizer, header.get("about", {}))


def _read(path: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["fewstep"])
            return header, {name: torch.clone(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a whole fewstep checkpoint ({error}); delete it to resume from the one before"
        ) from error
