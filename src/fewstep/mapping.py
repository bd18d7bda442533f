"""A meta-batch of tasks through one function of a task: over threads, and in vectorised chunks."""

import copy
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from fewstep import seeding
from fewstep.core import Task
from fewstep.model import Model

Output = TypeVar("Output", bound=NamedTuple)


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """`threads` workers, each taking `chunk` tasks at a time: 1 is the loop, more a vmap of that many tasks."""

    threads: int = 1
    chunk: int = 1

    def __post_init__(self) -> None:
        if min(self.threads, self.chunk) < 1:
            raise ValueError(f"a mapping needs threads ≥ 1 and chunk ≥ 1, got {self}")
