"""What recorded checkpoints score on other classes, other turns, other query batches and other task lists."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from right_store import Row, right_of_each, scores

from fewstep.core import Examples, Task
from fewstep.evaluation import Evaluation, Result, evaluate
from fewstep.learner import Learner
from fewstep.mapping import Mapping
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.protocols import ProtocolName
from fewstep.tasks.splits import Tasks
from fewstep.trained import read_trained

HERE = Path(__file__).parent
MAPPING = Mapping(threads=1, chunk=20)
FAST = "omniglot-5w1s-fast"
NOISE_SEEDS = range(6)
Measurement = tuple[str, Callable[[], Row]]


@dataclass(frozen=True, kw_only=True)
class OneClass:
    """The tasks of `source`, all queries of one class: in task t of a meta-batch, of class t modulo the ways."""

    source: Any

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one input."""
        inputs: tuple[int, ...] = self.source.inputs
        return inputs

    @property
    def outputs(self) -> int:
        """The number of ways."""
        ways: int = self.source.outputs
        return ways

    @property
    def class_names(self) -> list[str]:
        """As the source's."""
        names: list[str] = self.source.class_names
        return names

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        """As the source's, with a share of its queries."""
        support, query = self.source.sample(seed, stream, step, count)
        kept = torch.stack([(query.y[0] == t % self.outputs).nonzero()[:, 0] for t in range(count)])
        each = torch.arange(count)[:, None]
        return Task(support, Examples(query.x[each, kept], query.y[each, kept]))


def omniglot(queries: int = 1, protocol: ProtocolName = "vinyals", part: str = "test") -> Any:
    """5-way 1-shot tasks of a split."""
    return getattr(Omniglot(protocol=protocol, ways=5, shots=1, queries=queries).build(), part)


def upright(tasks: Any) -> Any:
    """The same characters without their quarter turns."""
    return dataclasses.replace(tasks, classes=[one for one in tasks.classes if one.quarter_turns == 0])


def of_protocol(protocol: ProtocolName) -> tuple[Any, float]:
    """The test characters of another protocol, drawn as those of `vinyals` and turned into classes, and the share of
    them that `vinyals` trains on.
    """
    splits = Omniglot(protocol="vinyals", ways=5, shots=1, queries=1).build()
    parts: Sequence[Any] = [part for part in (splits.train, splits.val, splits.test) if part is not None]
    asked = set(omniglot(protocol=protocol).class_names)
    classes = [one for part in parts for one in part.classes if one.name in asked]
    share = len(asked & set(splits.train.class_names)) / len(asked)
    return dataclasses.replace(parts[-1], classes=classes), share


def score(name: str, tasks: Tasks, *, seed: int = 0, norm: Any = None, count: int = 1000) -> Result:
    """A recorded run on tasks, after as many inner steps as in training."""
    learner: Learner = read_trained(HERE / name).learner
    learner = learner if norm is None else learner.under(norm)
    steps = learner.algorithm.inner_steps
    mapping = MAPPING if tasks.sample(0, "look", 0, 1).query.x.shape[1] <= 5 else Mapping()  # many queries fill a core
    return evaluate(learner, tasks, Evaluation(tasks=count, steps=steps, seed=seed), mapping=mapping)


def splits() -> Iterator[Measurement]:
    """Characters that trained, that selected, that did neither, and those of other protocols."""
    yield f"{FAST} train", lambda: scores(score(FAST, omniglot(part="train")))
    for protocol in ("lake", "finn"):
        yield f"{FAST} {protocol}", lambda p=protocol: _of_protocol(p)
    for part in ("test", "train"):
        row = f"omniglot-protonet {part}"
        yield row, lambda p=part: scores(score("omniglot-protonet", omniglot(5, part=p), count=250))


def _of_protocol(protocol: ProtocolName) -> Row:
    tasks, share = of_protocol(protocol)
    return {**scores(score(FAST, tasks)), "percent_trained_on": round(100 * share, 1)}


def rotations() -> Iterator[Measurement]:
    """The same test characters upright, as classes of four turns, and turned at random within a task."""
    yield "upright", lambda: scores(score(FAST, upright(omniglot())))
    yield "random", lambda: scores(score(FAST, dataclasses.replace(upright(omniglot()), random_turns=True)))


def ported() -> Iterator[Measurement]:
    """Two recorded runs at the rate that the other reduction makes of theirs; the first at its own too."""
    for name, protocol, inner_lr in (
        ("runs/omniglot-5w1s-maml", "finn", 2.0),
        ("runs/omniglot-5w1s-maml", "finn", 0.4),
        ("course-5w1s-maml", "course", 2.0),
    ):
        yield f"{name} at {inner_lr}", lambda n=name, p=protocol, r=inner_lr: _at_rate(n, p, r)


def _at_rate(name: str, protocol: ProtocolName, inner_lr: float) -> Row:
    evaluation = Evaluation(tasks=600, steps=3, inner_lr=inner_lr)
    result = evaluate(read_trained(HERE / name).learner, omniglot(1, protocol), evaluation, mapping=MAPPING)
    return {**scores(result), "tested_at": inner_lr}


def norm() -> Iterator[Measurement]:
    """One checkpoint, its queries forwarded in different company."""
    for queries, count in ((5, 500), (15, 250)):
        yield f"{queries} a class", lambda q=queries, c=count: scores(score(FAST, omniglot(q), count=c))
    for queries in (1, 5):
        yield f"{queries} of one class", lambda q=queries: scores(score(FAST, OneClass(source=omniglot(q))))
    yield "1 a class, support", lambda: scores(score(FAST, omniglot(1), norm="support"))
    yield "15 a class, support", lambda: scores(score(FAST, omniglot(15), norm="support", count=250))
    one_class = OneClass(source=omniglot(5))
    yield "5 of one class, support", lambda: scores(score(FAST, one_class, norm="support"))


def noise() -> Iterator[Measurement]:
    """One checkpoint on several task lists; the first is what all other tests of it are held against."""

    def of_seed(seed: int) -> Row:
        result = score(FAST, omniglot(), seed=seed)
        return {**scores(result), "right": right_of_each(result)}

    for seed in NOISE_SEEDS:
        yield f"seed {seed}", lambda s=seed: of_seed(s)
