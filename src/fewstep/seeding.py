"""Streams of random numbers, pure functions of (seed, stream, step): resuming needs no generator state."""

from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import numpy as np
import torch


def numpy_generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """The numpy generator of `step` in the named `stream`.

    Raises `ValueError` for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed={seed}: expected 0 or more")
    sequence = np.random.SeedSequence([seed, crc32(stream.encode()), step])
    return np.random.Generator(np.random.Philox(sequence))


def torch_seed(seed: int, stream: str, step: int = 0) -> int:
    """A 32-bit seed for torch, whose CPU generator reads no more than the low 32 bits."""
    return int(numpy_generator(seed, stream, step).integers(2**32))


@contextmanager
def seeded(seed: int, stream: str, step: int = 0) -> Iterator[None]:
    """Torch's global CPU generator at (seed, stream, step) inside, as it was outside.

    For code that we do not own and that takes no generator: the initialisation of modules and `nn.Dropout`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, stream, step))
        yield
