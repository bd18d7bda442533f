"""What was taught: learners adapted to drawn symbols on the spot, and what they say after every inner step.

Letters: N support images, K symbols, S inner steps.
"""

import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fewstep import api
from fewstep.adapted import Adapted
from fewstep.core import Examples, Params
from fewstep.inner.loop import trajectory
from fewstep.learner import Learner
from fewstep.tasks.preprocessing import Preprocessing, as_floats
from fewstep.trained import Trained, read_trained
from fewstep.web.answers import NotThereError

KEPT = 16
"""Adapted models that are kept; the one that was asked for longest ago goes first."""

Pixels = npt.NDArray[np.uint8]


class Answer(NamedTuple):
    """Probabilities `[S + 1][K]` after 0, 1, ... inner steps, and how unlike the support set the image is."""

    steps: list[list[float]]
    novelty: float | None


@dataclass(frozen=True, kw_only=True)
class Taught:
    """One learner, adapted to the symbols of one page."""

    adapted: Adapted
    learner: Learner
    path: list[Params]
    """φ after 0, 1, ... inner steps"""

    def ask(self, image: Tensor) -> Answer:
        """What one image `[1, C, H, W]` is, by φ after every step."""
        with torch.no_grad():
            logits = torch.cat([self.learner.predict(phi, image) for phi in self.path])
        steps: list[list[float]] = logits.double().softmax(-1).tolist()
        return Answer(steps, self.adapted.predict(image)[0].novelty)


class Teaching:
    """The models that were adapted of late, each under a name that cannot be guessed; used by one thread at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # a net's forward is not thread-safe
        self._taught: OrderedDict[str, Taught] = OrderedDict()

    def teach(
        self, source: str | Path, names: Sequence[str], drawings: Sequence[Sequence[bytes]]
    ) -> tuple[str, Taught]:
        """Adapt to `drawings`, the image files of every symbol; under which name the model is kept, and the model.

        Raises `ValueError` for a learner that does not take such symbols and for files that do not decode.
        """
        with self._turn:
            trained = _learner_of(source) if isinstance(source, str) else read_trained(source)
            images = [decoded(trained, image) for symbol in drawings for image in symbol]
            labels = [k for k, symbol in enumerate(drawings) for _ in symbol]
            support = Examples(torch.cat(images), torch.tensor(labels))
            taught = _adapt(trained, support, names)
            name = secrets.token_urlsafe(9)
            self._taught[name] = taught
            while len(self._taught) > KEPT:
                self._taught.popitem(last=False)
            return name, taught

    def ask(self, name: str, image: bytes) -> Answer:
        """What an image file is.

        Raises `NotThereError` for a model that is not kept, `ValueError` for a file that does not decode.
        """
        with self._turn:
            taught = self._find(name)
            assert taught.adapted.preprocessing is not None  # `decoded` has seen to it
            return taught.ask(_read(taught.adapted.preprocessing, image))

    def saved(self, name: str) -> bytes:
        """The model as the file that `fewstep predict` takes.

        Raises `NotThereError` for one that is not kept.
        """
        with self._turn, tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "taught.fewstep"
            self._find(name).adapted.save(path)
            return path.read_bytes()

    def _find(self, name: str) -> Taught:
        found = self._taught.get(name)
        if found is None:
            raise NotThereError(f"the model '{name}' is no longer kept: teach the symbols again")
        self._taught.move_to_end(name)
        return found


def decoded(trained: Trained, image: bytes) -> Tensor:
    """An image file as the learner takes it, `[1, C, H, W]`.

    Raises `ValueError` where it does not decode, or the learner takes no images.
    """
    if trained.preprocessing is None:
        raise ValueError(f"{trained.recipe.name} was not trained on images: choose another model")
    return _read(trained.preprocessing, image)


def _read(preprocessing: Preprocessing, image: bytes) -> Tensor:
    return as_floats(preprocessing.decode_bytes(image)[None], inverted=preprocessing.inverted)


def _adapt(trained: Trained, support: Examples, names: Sequence[str]) -> Taught:
    module = api.adapt(trained, support, classes=names)
    adapted: Adapted = module.fewstep  # type: ignore[assignment]  # torch's stub knows tensors and modules alone
    learner = trained.learner.each_alone().for_evaluation().for_ways(len(names))
    path = trajectory(learner.algorithm, learner.model, learner.meta, support, trained.steps)
    detached = [{name: value.detach() for name, value in phi.items()} for phi in path]
    return Taught(adapted=adapted, learner=learner, path=detached)


@lru_cache
def _learner_of(name: str) -> Trained:
    """A learner of the package: it does not change."""
    return read_trained(name)
