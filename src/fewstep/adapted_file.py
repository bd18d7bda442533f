"""Adapted models back from their files."""

from pathlib import Path

import torch
from torch import nn

from fewstep import seeding
from fewstep.adapted import Adapted
from fewstep.novelty import Reference
from fewstep.rebuilding import rebuilt
from fewstep.recipe import net_from_json
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tensor_file import Contents, read_tensors


def load(path: str | Path, *, net: nn.Module | None = None, device: torch.device | str = "cpu") -> nn.Module:
    """The adapted net that `model.fewstep.save(path)` wrote: same class, same names, bit for bit the same tensors.

    A net of a recipe is built from what the file says; one by import path is imported, which runs that module of
    yours. A net of your own, trained in Python, is given as `net`, any instance of it; it is copied.

    Raises `ValueError` for a file that is missing, damaged, foreign or of another format, and for the wrong `net`.
    """
    contents = read_tensors(Path(path), "adapted model")
    try:
        return _loaded(contents, net, path).to(device)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__} {error}") from error


def _loaded(contents: Contents, net: nn.Module | None, path: str | Path) -> nn.Module:
    header = contents.header
    classes, inputs = tuple(header["classes"]), tuple(header["inputs"])
    if net is None:
        if header["net"] is None:
            raise ValueError(
                f"{path} holds the tensors of a {header['net class']}, a net of your own: give one, as "
                f"fewstep.load({str(path)!r}, net={header['net class'].split('.')[-1]}(...))"
            )
        with seeding.seeded(0, "net"):  # its numbers are overwritten; the global generator stays where it is
            net = net_from_json(header["net"]).build(inputs, max(len(classes), 1))
    try:
        module = rebuilt(net, header["norm"], header["head"], contents.below("net/"))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} does not fit the net, it was saved from a {header['net class']}: {error}") from error
    preprocessing = header["preprocessing"]
    module.fewstep = Adapted(  # type: ignore[assignment]  # torch's stub knows tensors and modules alone
        module=module,
        classes=classes,
        inputs=inputs,
        preprocessing=None if preprocessing is None else Preprocessing(**preprocessing),
        norm=header["norm"],
        head=header["head"],
        reference=Reference(**contents.below("novelty/")),
        net=header["net"],
        note=header["note"],
        accuracy=header["accuracy"],
    )
    return module
