"""A contestant in a fresh process of its own, driven through a pipe on which it sleeps while the others run.

So no library's threads, allocator or settings disturb another's, a peer that fails or is killed is a line of the table,
and peak memory is that of one contestant on one workload. The processes are forked from a server that has imported
torch and nothing else.
"""

import contextlib
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Literal, NamedTuple

import torch

from benchmarks import memory, roster
from benchmarks.contestant import Answer, Contestant, NotDrivenError
from benchmarks.problem import Setting

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch"])


class PeerError(Exception):
    """The contestant cannot take part; the message says why."""


class Refused(NamedTuple):
    """What a worker sends in place of an answer."""

    reason: str


class Worker:
    """One contestant at one workload. Use as a context manager."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = name
        self._connection, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_serve, args=(theirs, name, setting), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def wait(self) -> None:
        """Until it is ready."""
        self._receive()

    def how(self) -> str:
        """How it maps tasks; known after the first iteration."""
        told: str = self._ask("how")
        return told

    def answers(self) -> list[Answer]:
        """What an iteration computes."""
        answers: list[Answer] = self._ask("answers")
        return answers

    def seconds(self, iterations: int) -> float:
        """Mean wall seconds of so many iterations."""
        seconds: float = self._ask(iterations)
        return seconds

    def peak_mib(self) -> float:
        """Its peak memory so far."""
        peak: float = self._ask("peak")
        return peak

    def _ask(self, request: Literal["answers", "how", "peak"] | int) -> Any:
        with contextlib.suppress(OSError):  # where it has died, receiving says how
            self._connection.send(request)
        return self._receive()

    def _receive(self) -> Any:
        try:
            reply = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise PeerError(f"its process ended with exit code {self._process.exitcode}") from None
        if isinstance(reply, Refused):
            raise PeerError(reply.reason)
        return reply


def _serve(connection: Connection, name: str, setting: Setting) -> None:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take most of a device for itself
    try:
        torch.set_num_threads(setting.threads)
        torch.set_default_dtype(setting.torch_dtype)  # or constants that a library keeps would be rounded to float32
        torch.backends.cudnn.allow_tf32 = False
        contestant = roster.build(name, setting)
        connection.send("ready")
        while True:
            request = connection.recv()
            if request == "answers":
                connection.send(contestant.answers())
            elif request == "how":
                connection.send(contestant.how)
            elif request == "peak":
                connection.send(memory.peak_mib(setting.device, name))
            else:
                connection.send(_timed(contestant, request))
    except EOFError:
        return  # nobody asks any more
    except NotDrivenError as error:
        connection.send(Refused(str(error)))
    except ImportError as error:
        connection.send(Refused(f"not installed: {error}"))
    except Exception as error:  # noqa: BLE001  # a peer may fail in any way: the table says so
        lines = str(error).strip().splitlines() or [""]
        connection.send(Refused(f"{type(error).__name__}: {lines[0][:200]}"))


def _timed(contestant: Contestant, iterations: int) -> float:
    began = time.perf_counter()
    for _ in range(iterations):
        contestant.iterate()
    return (time.perf_counter() - began) / iterations
