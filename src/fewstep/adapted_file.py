"""Adapted models back from their files."""

import copy
import math
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

from fewstep import seeding
from fewstep.adapted import Adapted, outputs_and_embeddings
from fewstep.conforming import conforming
from fewstep.core import Params
from fewstep.nets.norm import Norm
from fewstep.novelty import Reference
from fewstep.rebuilding import built_of_file, rebuilt
from fewstep.recipe import NetSpec, net_from_json
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tensor_file import read_tensors

MOST_INPUT_NUMBERS = 1 << 26
"""Of one input: a colour image of 4700 × 4700 pixels."""

_Header = TypedDict(
    "_Header",
    {
        "classes": tuple[str, ...],
        "inputs": tuple[int, ...],
        "preprocessing": dict[str, Any] | None,
        "norm": Norm,
        "head": str | None,
        "net": dict[str, Any] | None,
        "net class": str,
        "note": str,
        "accuracy": str,
    },
)


def load(path: str | Path, *, net: nn.Module | NetSpec | None = None, device: torch.device | str = "cpu") -> nn.Module:
    """The adapted net that `model.fewstep.save(path)` wrote: same class, same names, bit for bit the same tensors.

    A net of a recipe is built from what the file says. One by import path is not imported on the word of a file, which
    may come from anybody: name it yourself, `net=Imported(path="my_module:Net")`. A net of your own, trained in
    Python, is given as `net`, any instance of it; it is copied.

    Raises `ValueError` for a file that is missing, damaged, foreign or of another format, and for the wrong `net`.
    """
    path = Path(path)
    contents = read_tensors(path, "adapted model")
    try:
        header = conforming(contents.header, _Header, "its JSON")
        spec = None if header["net"] is None else net_from_json(header["net"])
        preprocessing = _preprocessing(header)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if net is None and spec is None:
        raise ValueError(
            f"{path} holds the tensors of a {header['net class']}, a net of your own: give one, as "
            f"fewstep.load({str(path)!r}, net={header['net class'].split('.')[-1]}(...))"
        )
    classes, inputs = header["classes"], header["inputs"]
    with seeding.seeded(0, "net"):  # its numbers are overwritten; the global generator stays where it is
        like = built_of_file(spec, net, inputs, max(len(classes), 1), path)
    try:
        module = _module(like, header, contents.below("net/"))
        reference = Reference(**contents.below("novelty/"))
        if net is None:
            _check(module, header, reference)
    except (ValueError, AttributeError, RuntimeError, TypeError, StopIteration, IndexError) as error:
        raise ValueError(f"{path} does not fit the net, it was saved from a {header['net class']}: {error}") from error
    module.fewstep = Adapted(  # type: ignore[assignment]  # torch's stub knows tensors and modules alone
        module=module,
        classes=classes,
        inputs=inputs,
        preprocessing=preprocessing,
        norm=header["norm"],
        head=header["head"],
        reference=reference,
        net=header["net"],
        note=header["note"],
        accuracy=header["accuracy"],
    )
    return module.to(device)


def _preprocessing(header: dict[str, Any]) -> Preprocessing | None:
    if min(header["inputs"], default=1) < 1 or math.prod(header["inputs"]) > MOST_INPUT_NUMBERS:
        raise ValueError(f"its inputs are {list(header['inputs'])}, expected 1 to {MOST_INPUT_NUMBERS} numbers")
    if header["preprocessing"] is None:
        return None
    found: Preprocessing = conforming({"kind": "Preprocessing", **header["preprocessing"]}, Preprocessing, "its images")
    if found.inputs != header["inputs"]:
        raise ValueError(f"its images are {list(found.inputs)}, its inputs {list(header['inputs'])}, expected the same")
    return found


def _module(net: nn.Module, header: dict[str, Any], tensors: Params) -> nn.Module:
    module = rebuilt(net, header["norm"], header["head"], tensors)
    if missing := module.state_dict().keys() - tensors.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    return module


def _check(module: nn.Module, header: dict[str, Any], reference: Reference) -> None:
    """Raise an error where classes, inputs, net and support set do not fit together. Shapes alone are computed."""
    bare, x = copy.deepcopy(module).to("meta"), torch.empty(2, *header["inputs"], device="meta")
    outputs, embeddings = outputs_and_embeddings(bare, header["head"], x)
    classes, (_, width) = header["classes"], embeddings.shape
    if outputs.dim() != 2 or (classes and outputs.shape[1] != len(classes)):
        raise ValueError(f"its net has outputs {list(outputs.shape[1:])} for {len(classes)} classes")
    if reference.embeddings.shape[1:] != (width,) or reference.left_out.dim() != 1:
        found = [list(tensor.shape) for tensor in reference]
        raise ValueError(f"its novelty is measured by tensors of shapes {found}, expected [N, {width}] and [L]")
