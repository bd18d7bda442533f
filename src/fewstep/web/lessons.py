"""What a page taught: a learner adapted to symbols, after each inner step, kept while it is of use.

Letters: M drawings, S steps that are shown.
"""

import threading
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewstep import api
from fewstep.core import Examples
from fewstep.inner.loop import trajectory
from fewstep.learner import Learner
from fewstep.rebuilding import rebuilt
from fewstep.trained import Trained

MOST_SHOWN = 8
"""Steps of a trajectory that are kept, the first and the last among them."""
MOST_KEPT_BYTES = 1 << 26
"""Of the tensors of one lesson; a large net keeps fewer of its steps."""


class Stage(NamedTuple):
    """The net after so many inner steps, and the share of its own support set that it names rightly."""

    step: int
    net: nn.Module
    accuracy: float


class Guess(NamedTuple):
    """Probabilities `[S, ways]` of one drawing after each of a lesson's stages; its novelty, where it is measured."""

    probabilities: list[list[float]]
    novelty: float | None


class Lesson:
    """A learner adapted to `support`, whose class ids are the places of `classes`."""

    def __init__(self, trained: Trained, support: Examples, classes: tuple[str, ...]) -> None:
        """Adapt, keeping the steps that are shown.

        Raises `ValueError` where the adaptation does not stay finite.
        """
        self.trained, self.support, self.classes = trained, support, classes
        self.stages = _stages(trained.learner.each_alone().for_evaluation(), support, trained.steps)
        self._model: nn.Module | None = None
        self._making, self._predicting = threading.Lock(), threading.Lock()

    def guess(self, x: Tensor) -> Guess:
        """What the drawing `x: [1, *inputs]` is."""
        with self._predicting, torch.no_grad():  # reading the embedding hooks the net, for all threads
            probabilities = torch.cat([stage.net(x).double().softmax(-1) for stage in self.stages])
            novelty = None if self._model is None else _adapted(self._model).predict(x)[0].novelty
        if not probabilities.isfinite().all():
            raise ValueError("this learner's outputs for the drawing are not finite: choose another")
        return Guess(probabilities.tolist(), novelty)

    def model(self) -> nn.Module:
        """The model as `fewstep adapt` makes it, which knows what is unlike all; made once, in up to some seconds."""
        with self._making:
            if self._model is None:
                self._model = api.adapt(self.trained, self.support, classes=self.classes)
            return self._model

    def file(self) -> bytes:
        """The model's file, for `fewstep predict` and `fewstep.load`."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "symbols.fewstep"
            _adapted(self.model()).save(path)
            return path.read_bytes()

    def novelty_examples(self) -> int:
        """How many left-out examples measure novelty."""
        return len(_adapted(self.model()).reference.left_out)


class Lessons:
    """The newest lessons by their ids; older ones are forgotten."""

    def __init__(self, most: int = 8) -> None:
        self._most, self._kept, self._lock = most, OrderedDict[str, Lesson](), threading.Lock()

    def keep(self, name: str, lesson: Lesson) -> None:
        """Keep a lesson, in the place of one of the same name."""
        with self._lock:
            self._kept[name] = lesson
            self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def find(self, name: str) -> Lesson | None:
        """The lesson, which is the newest again; None where it is not kept."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
            return self._kept.get(name)


def _adapted(model: nn.Module) -> Any:
    return model.fewstep


def _stages(learner: Learner, support: Examples, steps: int) -> list[Stage]:
    learner = learner.for_ways(int(support.y.max()) + 1)
    path = trajectory(learner.algorithm, learner.model, learner.meta, support, steps)
    size = sum(tensor.numel() * tensor.element_size() for tensor in path[-1].values())
    shown = shown_steps(steps, max(2, min(MOST_SHOWN, MOST_KEPT_BYTES // size)))
    return [_stage(learner, {name: tensor.detach() for name, tensor in path[i].items()}, support, i) for i in shown]


def shown_steps(steps: int, most: int) -> list[int]:
    """At most `most` of 0, 1, ..., `steps`: the first and the last, the others evenly between them."""
    count = min(most, steps + 1)
    return sorted({round(i * steps / max(count - 1, 1)) for i in range(count)})


def _stage(learner: Learner, phi: dict[str, Tensor], support: Examples, step: int) -> Stage:
    net = rebuilt(learner.model.net, learner.model.norm, learner.model.head, phi)
    with torch.no_grad():
        outputs: Tensor = net(support.x)
    if not outputs.isfinite().all():
        raise ValueError(f"this learner does not stay finite on these symbols ({step} inner steps): choose another")
    return Stage(step, net, (outputs.argmax(-1) == support.y).double().mean().item())
