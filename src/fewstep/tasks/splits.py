"""What a source of tasks offers, and its three disjoint splits."""

from typing import NamedTuple, Protocol

from fewstep.core import Task
from fewstep.tasks.preprocessing import Preprocessing


class Tasks(Protocol):
    """Tasks drawn from a distribution, a meta-batch at a time."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one input."""
        ...

    @property
    def outputs(self) -> int:
        """The number of ways, or of target dimensions."""
        ...

    @property
    def class_names(self) -> list[str]:
        """What the classes are made of, without rotations; empty where tasks are generated."""
        ...

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """A meta-batch of `count` tasks, a pure function of the arguments; its tensors lead with `[count]`."""
        ...


class Splits(NamedTuple):
    """Tasks to train on, to select by (None where a protocol has no such classes), and to report."""

    train: Tasks
    val: Tasks | None
    test: Tasks
    summary: dict[str, object]
    """What `data show` prints and `recipe.json` keeps: protocol, sizes and hashes."""
    overlap: str = ""
    """Why train and val share classes, where a protocol says so by definition."""
    preprocessing: Preprocessing | None = None
    """What became of the images; None where the inputs are none."""
