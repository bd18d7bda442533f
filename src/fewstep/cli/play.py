"""`fewstep play`: the playground, a web page on this machine alone."""

import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tyro

from fewstep.cli.options import DataRoot

NEEDED = ("fastapi", "uvicorn", "python_multipart")
"""The modules of the extra `play`."""


@dataclass(frozen=True, kw_only=True)
class PlayArguments:
    """Open the playground: teach it a symbol, bend a curve, watch your runs.

    It is served to this machine alone and needs no network. Ctrl-C ends it.
    """

    runs: Path = Path("runs")
    """the folder of your run folders: they are shown, and their learners can be chosen"""
    port: int = 8000
    """0: any free one"""
    open: bool = False
    """open it in the browser, too"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, serve until Ctrl-C."""
    arguments = tyro.cli(PlayArguments, prog="fewstep play", args=list(words))
    try:
        from fewstep.web.serving import address_of, listen, server_of
        from fewstep.web.settings import Settings
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise ValueError(f'the playground needs the package {error.name}: pip install "fewstep[play]"') from error
    server = server_of(Settings(runs=arguments.runs, data_root=arguments.data_root))
    with listen(arguments.port) as listening:
        sys.stdout.write(f"the playground is at {address_of(listening)} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        if arguments.open:
            webbrowser.open(address_of(listening))
        with suppress(KeyboardInterrupt):  # which is how it ends
            server.run(sockets=[listening])
    return 0
