"""Tiny learners, tasks and recipes for the tests of runs: an update takes about a millisecond."""

import dataclasses
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fewstep.algorithms.maml import MAML
from fewstep.checkpoint import load_checkpoint
from fewstep.core import Meta
from fewstep.evaluation import Evaluation
from fewstep.journal import METRICS, Row, read_metrics
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping
from fewstep.recipe import Recipe
from fewstep.run import Run, Watch, train_run
from fewstep.seeding import seeded
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tasks.splits import Splits
from fewstep.tasks.strokes import Strokes
from fewstep.training import Training

TIMING = {"seconds", "tasks_per_second", "elapsed"}
FEW_ALPHABETS = {"train_alphabets": 2, "val_alphabets": 1, "test_alphabets": 1}
"""What every test draws, so that drawing happens once a session."""

SINUSOIDS = Sinusoid(shots=4, queries=4).build(Path("unused"))
TRAINING = Training(updates=8, meta_batch=2, lr=0.5, validate_every=2, validation_tasks=4, checkpoint_every=3)
"""So large a rate that validation goes down and up: update 4 of 8 is the best."""


def few_strokes(**fields: Any) -> Splits:
    """Splits over four alphabets."""
    return Strokes(**FEW_ALPHABETS, **fields).build(Path("unused"))


def sinusoid_learner(*, inner_lr: float = 0.01, hidden: int = 8) -> Learner:
    """1-hidden-1 on mean squared error, from the same parameters every time."""
    with seeded(0, "net"):
        net = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))
    return learner_of(net, MAML(inner_lr=inner_lr), loss="mean_squared_error").to("cpu")


def train_sinusoids(
    folder: Path | None = None,
    *,
    training: Training = TRAINING,
    watch: Watch | None = None,
    learner: Learner | None = None,
    identity: str = "sinusoids",
) -> Run:
    """A run on sinusoids; everything that is not given is the same every time."""
    return train_run(
        learner or sinusoid_learner(),
        SINUSOIDS,
        training,
        Evaluation(tasks=4, steps=2),
        seed=0,
        mapping=Mapping(),
        identity=identity,
        folder=folder,
        watch=watch,
    )


def pattern_tasks(split: str = "train", *, sizes: Sequence[int] = (6,) * 8, side: int = 4, **fields: Any) -> ImageTasks:
    """Tasks over classes of random patterns, 1 × side × side, `sizes` images in each."""
    images = np.random.default_rng(0).integers(0, 256, (sum(sizes), 1, side, side), dtype=np.uint8)
    starts = np.cumsum([0, *sizes[:-1]])
    classes = [
        ImageClass(f"class{i}", int(start), size) for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    return ImageTasks(split=split, images=images, classes=classes, **{"ways": 3, "shots": 1, "queries": 2, **fields})


def without_timing(rows: Sequence[Row]) -> list[Row]:
    """Rows of `metrics.jsonl` less what depends on the clock."""
    return [{name: value for name, value in row.items() if name not in TIMING} for row in rows]


def identical(a: Meta, b: Meta) -> bool:
    """Whether two learners have the same tensors, bit for bit."""
    mine, theirs = (
        {**_named(meta.learned), **{f"state {k}": v for k, v in _named(meta.state).items()}} for meta in (a, b)
    )
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def assert_same_folder(folder: Path, whole: Path) -> None:
    """Two run folders hold the same, bit for bit, but for the clock: checkpoints, log, recipe, result."""
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    for path in whole.glob("*.safetensors"):
        mine, theirs = load_checkpoint(folder / path.name), load_checkpoint(path)
        assert identical(mine.meta, theirs.meta)
        assert (mine.update, mine.optimizer["param_groups"]) == (theirs.update, theirs.optimizer["param_groups"])
        torch.testing.assert_close(mine.optimizer["state"], theirs.optimizer["state"], rtol=0, atol=0)
    assert without_timing(read_metrics(folder / METRICS)) == without_timing(read_metrics(whole / METRICS))
    assert json.loads((folder / "recipe.json").read_text()) == json.loads((whole / "recipe.json").read_text())
    mine, theirs = (json.loads((at / "result.json").read_text()) for at in (folder, whole))
    assert {**mine, "training_seconds": 0} == {**theirs, "training_seconds": 0}


def shrunken(recipe: Recipe) -> Recipe:
    """The recipe with two tasks a meta-batch, of 20 ways at most for made heads, and four procedural alphabets."""
    tasks = {
        name: dataclasses.replace(getattr(recipe, name), **FEW_ALPHABETS)
        for name in ("train_tasks", "test_tasks")
        if isinstance(getattr(recipe, name), Strokes)
    }
    if recipe.algorithm.makes_head and recipe.train_tasks.ways > 20:
        tasks["train_tasks"] = dataclasses.replace(recipe.train_tasks, ways=20)
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, meta_batch=2), **tasks)


@contextmanager
def small_disk(largest_file: int) -> Iterator[None]:
    """As on a full disk, a write that would take a file beyond `largest_file` bytes fails with an OSError."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def _named(groups: dict[str, dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {f"{group}/{name}": tensor for group, params in groups.items() for name, tensor in params.items()}
