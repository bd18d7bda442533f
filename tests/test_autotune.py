import logging
from collections.abc import Callable

import pytest
from torch import Tensor, nn

from builders import NORMS
from fewstep import api, autotune
from fewstep.algorithms.maml import MAML
from fewstep.autotune import available_threads, choose_mapping, seconds_per_task
from fewstep.learner import learner_of
from fewstep.mapping import Mapping
from fewstep.ranks import Ranks
from fewstep.seeding import seeded
from fewstep.tasks.splits import Splits
from fewstep.training import Training
from run_builders import SINUSOIDS, pattern_tasks, sinusoid_learner

PATTERNS = Splits(pattern_tasks(), pattern_tasks("val"), pattern_tasks("test"), {})


class Branches(nn.Module):
    """Asks for a value in its forward, which a vectorised forward does not have; images [1, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(1), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        if x.mean() > 10:
            x = x - 10
        return self.head(x.flatten(1))


def branches() -> Branches:
    with seeded(0, "test"):
        return Branches()


@pytest.fixture
def clock(monkeypatch) -> Callable[[dict[int, float]], None]:
    """Units of 20 ms per task by size of chunk; any other size is a KeyError. None is cheap."""

    monkeypatch.setattr(autotune, "CHEAP_SECONDS", 0.01)

    def says(units: dict[int, float]) -> None:
        monkeypatch.setattr(autotune, "seconds_per_task", lambda learner, batch, mapping: units[mapping.chunk] / 50)

    return says


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({1: 1.0, 4: 0.95}, Mapping(threads=2)),  # too little to tell from noise: 8 and 16 are not tried
        ({1: 1.0, 4: 0.8}, Mapping(threads=2, chunk=4)),  # a gain, but too little to go on
        ({1: 1.0, 4: 0.5, 8: 0.48}, Mapping(threads=2, chunk=4)),
        ({1: 1.0, 4: 0.5, 8: 0.25, 16: 0.24}, Mapping(threads=2, chunk=8)),
        ({1: 1.0, 4: 0.5, 8: 0.25, 16: 0.1}, Mapping(threads=1, chunk=16)),
        ({1: 2.0}, Mapping(threads=2)),  # a thread computes all the time: no chunk is tried, which takes memory too
    ],
)
def test_chunks_grow_while_that_pays(units, expected, clock):
    clock(units)
    batch = SINUSOIDS.train.sample(0, "tuning", 0, 16)
    assert choose_mapping(sinusoid_learner(), batch, threads=2) == expected


def test_ranks_choose_for_their_share_of_the_tasks_and_of_the_processors(clock, monkeypatch):
    clock({1: 1.0, 4: 0.5, 8: 0.25})  # eight of sixteen tasks each: 16 is not tried
    batch = SINUSOIDS.train.sample(0, "tuning", 0, 16)
    monkeypatch.setattr(autotune.os, "sched_getaffinity", lambda process: range(4), raising=False)
    assert available_threads() == 4
    assert [available_threads(sharing) for sharing in (2, 3, 8)] == [2, 1, 1]
    assert choose_mapping(sinusoid_learner(), batch, ranks=Ranks(count=2, local_count=2)) == Mapping(chunk=8)
    clock({1: 1.0, 4: 0.95})
    assert choose_mapping(sinusoid_learner(), batch, ranks=Ranks(count=2, local_count=2)) == Mapping(threads=2)


@pytest.mark.parametrize("mapping", [Mapping(), Mapping(threads=2), Mapping(chunk=4), Mapping(threads=2, chunk=2)])
def test_seconds_per_task_are_positive(mapping):
    batch = SINUSOIDS.train.sample(0, "tuning", 0, 4)
    assert 0 < seconds_per_task(sinusoid_learner(), batch, mapping) < 10


def test_a_net_that_cannot_be_vectorised_keeps_the_loop_and_a_line_says_why(caplog):
    learner = learner_of(branches(), MAML(inner_lr=0.1))
    with caplog.at_level(logging.INFO, logger="fewstep"):
        mapping = choose_mapping(learner, PATTERNS.train.sample(0, "tuning", 0, 4), threads=1)
    assert mapping == Mapping()
    (line,) = [record.getMessage() for record in caplog.records if "cannot be vectorised" in record.getMessage()]
    assert "data-dependent control flow" in line


@pytest.mark.parametrize("norm", NORMS)
def test_a_net_that_cannot_be_vectorised_trains_and_validates(norm: str):
    training = Training(updates=2, meta_batch=4, validate_every=1, validation_tasks=2)
    run = api.train(branches(), MAML(inner_lr=0.1), PATTERNS, training=training, norm=norm)
    assert (run.status, run.mapping.chunk) == ("finished", 1)
    assert [row["update"] for row in run.history if row["kind"] == "validation"] == [1, 2]
    result = api.evaluate(run, PATTERNS.test, count=2)
    assert result.transductive == (norm == "transductive")
    task = PATTERNS.test.sample(0, "use", 0, 1).select(0)
    assert api.adapt(run, task.support)(task.query.x).shape == (6, 3)
