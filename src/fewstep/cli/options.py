"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import tyro

DataRoot = Annotated[
    Path | None,
    tyro.conf.arg(help="folder of the data sets; default: $FEWSTEP_DATA, else the user's cache folder"),
]
Device = Annotated[str, tyro.conf.arg(help="where to compute: cpu, cuda, cuda:1, ...")]
RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="a run folder", metavar="RUN")]
