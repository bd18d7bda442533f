"""Omniglot (Lake, Salakhutdinov, Tenenbaum 2015): 1623 characters × 20 drawers, under a named protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewstep.tasks import cache, omniglot_archives
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tasks.protocols import PROTOCOLS, ProtocolName, TurnedClass
from fewstep.tasks.splits import Splits


@dataclass(frozen=True, kw_only=True)
class Omniglot:
    """N-way tasks of Omniglot."""

    protocol: ProtocolName = "vinyals"
    """classes of each split and treatment of images: `fewstep data show omniglot`"""
    ways: int = 5
    """classes a task"""
    shots: int = 1
    """support images a class"""
    queries: int | None = None
    """query images a class; None: the protocol's own number"""
    size: int = 28
    """height and width in pixels"""

    @property
    def preprocessing(self) -> Preprocessing:
        """What became of the drawings, black ink on white paper: what a further one goes through."""
        protocol = PROTOCOLS[self.protocol]
        return Preprocessing(size=self.size, color="L", resampling=protocol.resampling, inverted=protocol.inverted)

    def build(self, data_root: Path | None = None) -> Splits:
        """The three splits; downloads the archives into `data_root/omniglot` when they are not there.

        `data_root` defaults to `FEWSTEP_DATA`, else to the user's cache folder.
        """
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol={self.protocol!r}: expected one of {', '.join(PROTOCOLS)}")
        protocol = PROTOCOLS[self.protocol]
        characters = load(cache.data_root(data_root), self.size, protocol.resampling)
        lists = protocol.split(characters.names)
        images = characters.images.reshape(-1, 1, self.size, self.size)
        index = {name: i for i, name in enumerate(characters.names)}

        def tasks(split: str, classes: Sequence[TurnedClass], queries: int | None) -> ImageTasks:
            return ImageTasks(
                split=split,
                images=images,
                classes=[_image_class(index, c, characters.images) for c in classes],
                ways=self.ways,
                shots=self.shots,
                queries=self._queries(queries),
                inverted=protocol.inverted,
                random_turns=protocol.random_turns,
            )

        return Splits(
            train=tasks("train", lists.train, protocol.train_queries),
            val=tasks("val", lists.val, protocol.test_queries) if lists.val else None,
            test=tasks("test", lists.test, protocol.test_queries),
            summary={
                "tasks": "omniglot",
                "protocol": self.protocol,
                "ways, shots": [self.ways, self.shots],
                "size": self.size,
                "classes": {split: len(classes) for split, classes in lists._asdict().items()},
                "hash": lists.digest(),
                "shared characters": lists.shared(),
                "resampling": protocol.resampling,
                "inverted": protocol.inverted,
                "random rotations per class": protocol.random_turns,
                "queries, train and test": [
                    self._queries(protocol.train_queries),
                    self._queries(protocol.test_queries),
                ],
                "published test": protocol.test,
            },
            overlap=protocol.overlap,
            preprocessing=self.preprocessing,
        )

    def _queries(self, of_protocol: int | None) -> int:
        return next(n for n in (self.queries, of_protocol, self.shots) if n is not None)


def load(data_root: Path, size: int, resampling: str) -> cache.NamedClasses:
    """All characters at `size` × `size`, white paper 255: decoded once, memory-mapped from then on."""
    folder = data_root / "omniglot"
    omniglot_archives.ensure(folder)
    key = {"files": omniglot_archives.fingerprint(folder), "size": size, "resampling": resampling, "format": 1}
    return cache.cached("omniglot", key, lambda: omniglot_archives.read(folder, size, resampling))


def _image_class(index: dict[str, int], turned: TurnedClass, images: npt.NDArray[np.uint8]) -> ImageClass:
    examples = images.shape[1]
    return ImageClass(turned.name, index[turned.name] * examples, examples, turned.quarter_turns)
