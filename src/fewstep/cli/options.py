"""Options that several verbs share."""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
import torch
import tyro

DataRoot = Annotated[
    Path | None,
    tyro.conf.arg(help="folder of the data sets; default: $FEWSTEP_DATA, else the user's data folder"),
]
Device = Annotated[
    str, tyro.conf.arg(help="where to compute: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one")
]
RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="a run folder", metavar="RUN")]


def data_root(given: Path | None) -> Path:
    """The folder of the data sets: as given, else `FEWSTEP_DATA`, else the user's own."""
    if given is not None:
        return given
    return Path(os.environ.get("FEWSTEP_DATA") or platformdirs.user_data_path("fewstep"))


def device_of(name: str) -> str:
    """The device that `auto` stands for, or the one named."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
