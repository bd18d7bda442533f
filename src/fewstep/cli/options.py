"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import tyro

from fewstep.nets.imported import Imported

DataRoot = Annotated[
    Path | None,
    tyro.conf.arg(help="folder of the data sets; default: $FEWSTEP_DATA, else the user's cache folder"),
]
Device = Annotated[str, tyro.conf.arg(help="where to compute: cpu, cuda, cuda:1, ...")]
Net = Annotated[
    str | None,
    tyro.conf.arg(
        help="import path of the net of your own that the file is of: none is imported on the word of a file",
        metavar="my_module:Net",
    ),
]
RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="a run folder", metavar="RUN")]


def imported(path: str | None) -> Imported | None:
    """The net that `--net` names."""
    return None if path is None else Imported(path=path)
