"""Serving the playground on loopback, and nowhere else."""

import socket

import torch
import uvicorn

from fewstep.web.app import create_app
from fewstep.web.settings import Settings

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes any free one.

    Raises `ValueError` where the port cannot be had.
    """
    if not 0 <= port < 1 << 16:
        raise ValueError(f"port {port} cannot be used, expected 0 to 65535; `--port 0` takes any free one")
    try:
        listening = socket.create_server((HOST, port))
        # asyncio does it for sockets that say they are TCP, which this one does not: else an answer waits 40 ms for the
        # browser to acknowledge its headers
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise ValueError(
            f"port {port} cannot be used ({error}); choose another, or `--port 0` for any free one"
        ) from error


def address_of(listening: socket.socket) -> str:
    """The address to open."""
    return f"http://{HOST}:{listening.getsockname()[1]}"


def server_of(settings: Settings) -> uvicorn.Server:
    """A server, to be run on the socket of `listen`: `server.run(sockets=[listening])`, until Ctrl-C."""
    torch.set_num_threads(1)  # small nets: beside other work a second thread makes answers ten times as slow
    return uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", server_header=False, ws="none"))
