import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from builders import image_splits, smooth_net, smooth_task, stacked
from fewstep import memory
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.core import Meta, MetaGradient, Task
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.model import Model
from fewstep.training import Training, outer_optimizer, updates

STATM = Path("/proc/self/statm")


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(value), Tensor) for value in gc.get_objects())


def resident_mebibytes() -> float:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def saved_bytes(output: Tensor, leaves: list[Tensor]) -> int:
    """Bytes of distinct tensors, the leaves aside, that the graph behind `output` keeps for its backward pass."""
    own = {leaf.untyped_storage().data_ptr() for leaf in leaves}
    nodes, seen, storages = [output.grad_fn], set(), {}
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [next_node for next_node, _ in node.next_functions]
        for name in dir(node):
            value = getattr(node, name) if name.startswith("_saved_") else None
            if isinstance(value, Tensor):
                storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
    return sum(size for pointer, size in storages.items() if pointer not in own)


def saved_by_adaptation(order: int, steps: int) -> int:
    learner: Learner = learner_of(smooth_net(), MAML(inner_lr=0.1, inner_steps=steps, order=order))
    phi = learner.adapt(smooth_task().support)
    return saved_bytes(torch.stack([value.sum() for value in phi.values()]).sum(), learner.parameters())


@pytest.mark.skipif(not STATM.exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("mapping", [Mapping(threads=2), Mapping(chunk=2)])
def test_two_hundred_updates_leave_memory_flat(mapping: Mapping):
    """One batch of images kept per update, 2 · 12 · 64² floats, would hold 75 MiB in the end."""
    layers = nn.Linear(64 * 64, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)
    learner = learner_of(nn.Sequential(nn.Flatten(), *layers), MAML(inner_lr=0.1), norm="support")
    tasks, training = image_splits(size=64).train, Training(updates=220, meta_batch=2)
    tensors, mebibytes = [], []
    with Workers(learner.model, mapping) as workers:
        for progress in updates(learner, tasks, training, outer_optimizer(learner.meta, training), workers):
            if progress.update in (20, 220):
                tensors.append(live_tensors())
                mebibytes.append(resident_mebibytes())
    assert tensors[1] - tensors[0] < 10
    assert mebibytes[1] - mebibytes[0] < 20


@pytest.mark.skipif(not STATM.exists(), reason="reads Linux's /proc")
def test_a_mean_holds_no_more_tasks_than_are_at_work():
    """Eighty outcomes of 8 MiB, of which no more than four wait to be added up."""
    batch, peaks = stacked([smooth_task()] * 80), []

    def outcome(model: Model, given: tuple[()], task: Task) -> Tensor:
        peaks.append(resident_mebibytes())
        return torch.ones(2 * 2**20)

    with Workers(learner_of(smooth_net(), MAML(inner_lr=0.1)).model, Mapping(threads=2)) as workers:
        mean = workers.mean(outcome, (), batch)
    assert (mean == 1).all()
    assert max(peaks) - peaks[0] < 30 * 8  # with what the allocator keeps of its own


def test_first_order_keeps_no_more_for_the_backward_pass_after_more_inner_steps():
    assert saved_by_adaptation(order=1, steps=8) == saved_by_adaptation(order=1, steps=1)


def test_second_order_keeps_every_inner_step_for_the_backward_pass():
    """The measure above does see graphs: eight steps hold more than four times what one holds."""
    assert saved_by_adaptation(order=2, steps=8) > 4 * saved_by_adaptation(order=2, steps=1) > 0


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("recompute", [False, True])
def test_the_estimate_of_many_steps_is_what_their_graph_holds(order: int, recompute: bool):
    """Extended from one and two steps to nine, against nine; re-computation keeps φ_i besides, outside of graphs."""
    learner = learner_of(smooth_net(), MAML(inner_lr=0.1, inner_steps=9, order=order, recompute=recompute))
    parameters = sum(value.nbytes for value in learner.parameters())
    estimated, held = memory.estimated_bytes(learner, smooth_task()), memory.held_bytes(learner, smooth_task())
    assert held <= estimated <= 1.05 * held + 8 * parameters


def test_the_estimate_of_first_order_that_becomes_second_is_that_of_second_order():
    def estimated(first_order_epochs: int) -> int:
        algorithm = MAMLPlusPlus(inner_lr=0.1, first_order_epochs=first_order_epochs)
        return memory.estimated_bytes(learner_of(smooth_net(), algorithm), smooth_task())

    assert estimated(3) == estimated(0)


@dataclass(frozen=True)
class Wrapping:
    """An algorithm of the user's own, which passes on to another: its inner steps are no setting."""

    algorithm: MAML
    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None

    @property
    def inner_steps(self) -> int:
        return self.algorithm.inner_steps

    def order_at(self, update: int) -> int | None:
        return self.algorithm.order_at(update)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        return self.algorithm.init(model, generator)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        return self.algorithm.meta_gradient(model, meta, task, update)


def test_the_estimate_of_an_algorithm_whose_steps_cannot_be_set_is_what_its_graph_holds():
    algorithm = MAML(inner_lr=0.1, inner_steps=4)
    learner = learner_of(smooth_net(), Wrapping(algorithm))
    assert memory.estimated_bytes(learner, smooth_task()) == memory.held_bytes(
        learner_of(smooth_net(), algorithm), smooth_task()
    )


def test_a_run_that_would_not_fit_is_told_before_it_begins(tmp_path, monkeypatch, caplog):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:         2 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    learner, batch = learner_of(smooth_net(), MAML(inner_lr=0.1, inner_steps=9)), stacked([smooth_task()] * 2)
    memory.warn_if_too_large(learner, batch, Mapping(threads=3))
    assert "for 2 task(s) at a time" in caplog.text
    assert "algorithm.recompute" in caplog.text


def test_a_run_that_fits_is_told_nothing(caplog):
    memory.warn_if_too_large(learner_of(smooth_net(), MAML(inner_lr=0.1)), stacked([smooth_task()]), Mapping())
    assert not caplog.text


@pytest.mark.skipif(not STATM.exists(), reason="reads Linux's /proc")
def test_what_is_free_is_told_and_bounded_by_a_container_s_limit(tmp_path, monkeypatch):
    free = memory.available_bytes(torch.device("cpu"))
    assert 0 < free < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name, text in {"max": "1000", "current": "700", "stat": "anon 1\ninactive_file 50\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes(torch.device("cpu")) == 1000 - 700 + 50
