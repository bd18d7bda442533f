"""What a figure depends on: the machine, its load-free rate of matrix products, versions, the allocator."""

import os
import platform
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch

from fewstep.autotune import available_threads
from fewstep.versions import versions

PACKAGES = ("jax", "optax", "higher", "torchopt", "learn2learn", "parallel-metalearn")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and when the figures were measured."""

    processor: str
    device: str
    cores: int
    threads: int
    system: str
    versions: dict[str, str | None]
    malloc: dict[str, str]
    """the environment variables that tune the allocator"""
    date: str
    sgemm_gflops_one_thread: float
    sgemm_gflops: float
    """on all threads, or on the device"""


def describe(device: str, side: int) -> Machine:
    """This machine, its sgemm measured on `side` × `side` matrices."""
    threads = available_threads()
    peers = {name: _version(name) for name in PACKAGES}
    return Machine(
        processor=_processor(),
        device="cpu" if device == "cpu" else torch.cuda.get_device_name(),
        cores=os.cpu_count() or 1,
        threads=threads,
        system=platform.platform(),
        versions={**versions(), **{name: version for name, version in peers.items() if version}},
        malloc={
            name: value for name, value in os.environ.items() if name.startswith("MALLOC_") or name == "LD_PRELOAD"
        },
        date=datetime.now(timezone.utc).isoformat(timespec="minutes"),
        sgemm_gflops_one_thread=sgemm_gflops("cpu", 1, side),
        sgemm_gflops=sgemm_gflops(device, threads, side),
    )


def sgemm_gflops(device: str, threads: int, side: int, repeats: int = 8) -> float:
    """GFLOP/s of the fastest of a few float32 matrix products."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    left, right = torch.ones(2, side, side, device=device)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        left @ right
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    torch.set_num_threads(before)
    return 2 * side**3 / min(seconds) / 1e9


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
