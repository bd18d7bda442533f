"""The most memory that this process has held: of the device where there is one, else resident."""

import resource
import sys

import torch

MIB = 2**20


def peak_mib(device: str, contestant: str) -> float:
    """Peak MiB since the process began, everything included that it imports."""
    if device == "cpu":
        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
    if contestant.startswith("jax"):
        import jax

        peak: float = jax.devices()[0].memory_stats()["peak_bytes_in_use"]
        return peak / MIB
    return torch.cuda.max_memory_allocated() / MIB
