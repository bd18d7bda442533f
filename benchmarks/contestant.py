"""What every contestant can do, and how it says that it cannot."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Answer = dict[str, NDArray[np.float64]]
"""What an iteration computes: the mean meta-gradient under the parameters' names, or `logits` and their `loss`."""


class NotDrivenError(Exception):
    """This contestant cannot run this workload; the message says why."""


class Contestant(Protocol):
    """One library's own way through one workload, holding θ and its Adam state."""

    how: str
    """how it maps the tasks, in a few words; known after the first iteration"""

    def answers(self) -> list[Answer]:
        """What an iteration computes at the initial θ, in every way in which it may be timed."""
        ...

    def iterate(self) -> None:
        """One iteration; what it computes is there when it returns."""
        ...
