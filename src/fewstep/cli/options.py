"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import torch
import tyro

DataRoot = Annotated[
    Path | None,
    tyro.conf.arg(help="folder of the data sets; default: $FEWSTEP_DATA, else the user's cache folder"),
]
Device = Annotated[
    str, tyro.conf.arg(help="where to compute: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one")
]
RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="a run folder", metavar="RUN")]


def device_of(name: str) -> str:
    """The device that `auto` stands for, or the one named."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
