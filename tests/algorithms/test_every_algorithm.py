"""What holds for every algorithm, tested once: a new one joins with a row of the table, and says where it differs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import fewstep
from builders import image_splits, leaving_as_it_was, smooth_net, smooth_task, stacked
from fewstep.algorithm import Algorithm
from fewstep.algorithms.alfa import ALFA
from fewstep.algorithms.anil import ANIL
from fewstep.algorithms.baseline_plus_plus import BaselinePlusPlus
from fewstep.algorithms.boil import BOIL
from fewstep.algorithms.cavia import CAVIA
from fewstep.algorithms.imaml import IMAML
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.matching_net import MatchingNet
from fewstep.algorithms.meta_sgd import MetaSGD
from fewstep.algorithms.proto_maml import ProtoMAML
from fewstep.algorithms.protonet import ProtoNet
from fewstep.algorithms.r2d2 import R2D2
from fewstep.algorithms.reptile import Reptile
from fewstep.core import Examples, MetaGradient, Task, map_tensors
from fewstep.divergence import advice
from fewstep.inner.adagrad import Adagrad
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.run import Run
from fewstep.training import Training, meta_gradient
from run_builders import identical

WAYS = 3
TRAINING = Training(updates=5, meta_batch=2, validate_every=5, validation_tasks=2, checkpoint_every=2)
LOOP = Mapping()


@dataclass(frozen=True, kw_only=True)
class Row:
    """An algorithm, and what does not hold for it."""

    algorithm: Algorithm
    zero: dict[str, str] = field(default_factory=dict)
    """learned tensors, as `group/name`, whose gradient is zero, and why"""
    starts_at_net: bool = True
    """no inner step leaves the net as it was built"""
    ignores_order: bool = True
    """the order of the support examples does not matter"""
    has_any_ways: bool = False
    """test tasks may have other ways than training tasks"""
    is_traceable: bool = True
    """a trace gives what the loop gives, to the last bit"""


ROWS = {
    "MAML": Row(algorithm=MAML(inner_lr=0.2, inner_steps=2, learn_inner_lr=True)),
    "FOMAML": Row(algorithm=MAML(inner_lr=0.2, inner_steps=2, order=1, optimizer=Adagrad())),
    "MAML++": Row(
        algorithm=MAMLPlusPlus(
            inner_lr=0.2, inner_steps=2, learn_inner_lr=True, multi_step_epochs=1, per_step_norm=True, epoch=2
        )
    ),
    "Reptile": Row(algorithm=Reptile(inner_lr=0.02, inner_steps=3, inner_batch=3), ignores_order=False),
    "FOML": Row(algorithm=Reptile(inner_lr=0.02, inner_steps=3, inner_batch=3, direction="foml"), ignores_order=False),
    "ANIL": Row(algorithm=ANIL(inner_lr=0.2, inner_steps=2)),
    "ANIL, first order": Row(algorithm=ANIL(inner_lr=0.2, inner_steps=2, order=1)),
    "BOIL": Row(algorithm=BOIL(inner_lr=0.2, inner_steps=2)),
    "BOIL, first order": Row(algorithm=BOIL(inner_lr=0.2, inner_steps=2, order=1)),
    "Meta-SGD": Row(algorithm=MetaSGD(inner_steps=2)),
    "Meta-SGD, first order": Row(algorithm=MetaSGD(inner_steps=2, order=1)),
    "iMAML": Row(algorithm=IMAML(inner_lr=0.1, inner_steps=3, cg_steps=3)),
    "CAVIA": Row(algorithm=CAVIA(inner_steps=2, context_size=4)),
    "CAVIA, first order": Row(algorithm=CAVIA(inner_steps=2, context_size=4, order=1)),
    "ALFA": Row(algorithm=ALFA(inner_lr=0.2, inner_steps=2)),
    "ProtoNet": Row(algorithm=ProtoNet(), starts_at_net=False, has_any_ways=True),
    "MatchingNet": Row(algorithm=MatchingNet(scale=4.0), starts_at_net=False, has_any_ways=True),
    "R2D2": Row(algorithm=R2D2(), starts_at_net=False, has_any_ways=True),
    "ProtoMAML": Row(algorithm=ProtoMAML(inner_lr=1.0, inner_steps=2), starts_at_net=False, has_any_ways=True),
    "ProtoMAML, first order": Row(
        algorithm=ProtoMAML(inner_lr=1.0, inner_steps=2, order=1), starts_at_net=False, has_any_ways=True
    ),
    "Baseline++": Row(algorithm=BaselinePlusPlus(head_steps=5), starts_at_net=False, has_any_ways=True),
}


def rows(**wanted: bool) -> Any:
    """The rows whose fields are `wanted`, all where nothing is."""
    fitting = [
        pytest.param(row, id=name)
        for name, row in ROWS.items()
        if all(getattr(row, key) == value for key, value in wanted.items())
    ]
    return pytest.mark.parametrize("row", fitting)


def learner_with(row: Row) -> Learner:
    return learner_of(smooth_net(WAYS), row.algorithm).for_ways(WAYS)


def outcome_of(learner: Learner, task: Task) -> MetaGradient:
    return learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)


@rows()
def test_every_learned_tensor_has_a_finite_gradient_that_is_not_zero(row: Row):
    """Not even in part zero over a few tasks, but for those of which the row says why."""
    learner = learner_with(row)
    found = [outcome_of(learner, smooth_task(number)).gradient for number in range(3)]
    shapes = {group: {name: value.shape for name, value in params.items()} for group, params in found[0].items()}
    learned = learner.meta.learned
    assert shapes == {group: {name: value.shape for name, value in params.items()} for group, params in learned.items()}
    zero = set()
    for group, params in learned.items():
        for name in params:
            gradients = torch.stack([gradient[group][name] for gradient in found])
            assert gradients.isfinite().all()
            zero |= set() if gradients.any() else {f"{group}/{name}"}
    assert zero == set(row.zero)


@rows()
def test_adapting_and_the_meta_gradient_change_nothing_that_they_were_given(row: Row):
    learner, task = learner_with(row), smooth_task()
    before = map_tensors(torch.clone, task)
    with leaving_as_it_was(learner):
        phi = learner.adapt(task.support)
        kept = map_tensors(lambda tensor: tensor.detach().clone(), phi)
        learner.predict(phi, task.query.x)
        outcome_of(learner, task)
    torch.testing.assert_close(map_tensors(torch.detach, phi), kept, rtol=0, atol=0)
    torch.testing.assert_close(task, before, rtol=0, atol=0)


class StoppedError(Exception):
    """What ends a training in its midst."""


@rows()
def test_a_training_that_is_stopped_and_continued_is_the_undisturbed_one_bit_for_bit(row: Row, tmp_path: Path):
    def trained(out: Path | None, stop_after: int = 0) -> Run:
        def see(logged: dict[str, Any]) -> None:
            seen.append(logged.get("update"))
            if logged.get("update") == stop_after:
                raise StoppedError

        return fewstep.train(
            smooth_net(WAYS).float(),
            row.algorithm,
            image_splits(WAYS),
            training=TRAINING,
            mapping=LOOP,
            out=out,
            see=see,
        )

    seen: list[int | None] = []
    whole = trained(None)
    with pytest.raises(StoppedError):
        trained(tmp_path / "run", stop_after=3)
    seen.clear()
    continued = trained(tmp_path / "run")
    assert seen[0] == 3  # after the checkpoint of update 2
    assert continued.update == whole.update == TRAINING.updates
    assert identical(continued.learner.meta, whole.learner.meta)
    assert not identical(whole.learner.meta, learner_of(smooth_net(WAYS).float(), row.algorithm).meta)


@rows()
def test_threads_give_what_the_loop_gives_bit_for_bit_and_a_vmap_to_rounding(row: Row):
    learner, tasks = learner_with(row), stacked([smooth_task(number) for number in range(4)])

    def mean(mapping: Mapping) -> MetaGradient:
        with Workers(learner.model, mapping) as workers:
            return meta_gradient(learner, tasks, workers, 0)[0]

    looped = mean(LOOP)
    torch.testing.assert_close(mean(Mapping(threads=2)), looped, rtol=0, atol=0)
    torch.testing.assert_close(mean(Mapping(chunk=4)), looped, rtol=1e-10, atol=1e-10)


@rows(is_traceable=True)
def test_a_trace_gives_what_the_loop_gives_bit_for_bit_on_tasks_it_was_not_traced_on(row: Row):
    learner = learner_with(row)
    with Workers(learner.model, LOOP) as loop, Workers(learner.model, Mapping(execution="traced")) as again:
        for numbers in ((0, 1), (2, 3)):
            tasks = stacked([smooth_task(number) for number in numbers])
            found, expected = (meta_gradient(learner, tasks, workers, 0) for workers in (again, loop))
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


@rows()
@pytest.mark.parametrize("mapping", [LOOP, Mapping(chunk=2)])
def test_where_a_loss_goes_to_infinity_is_found_for_every_algorithm(row: Row, mapping: Mapping):
    learner = learner_with(row)
    batch = stacked([smooth_task(number) for number in range(2)])
    lost = batch._replace(query=batch.query._replace(x=batch.query.x * torch.nan))
    with Workers(learner.model, mapping) as workers:
        found = [advice(learner, learner.meta, tasks, workers, update) for tasks, update in ((lost, 0), (lost, 9))]
        rate = advice(learner, learner.meta, batch, workers, 9)
    assert found[0].startswith("it is so before anything was learned")
    assert found[1].endswith("lower training.lr or set training.clip-norm")
    assert ("algorithm.inner-lr" in rate) == hasattr(row.algorithm, "inner_lr")


@rows()
def test_the_audit_passes(row: Row):
    learner = learner_of(smooth_net(WAYS).float(), row.algorithm).for_ways(WAYS)
    card = fewstep.audit(learner, image_splits(WAYS))
    assert card.passed, card
    assert card.order == row.algorithm.order_at(10**9)
    noted = {check.name: check.finding for check in card.checks if check.verdict == "note"}
    assert ("gradients" in noted) == bool(row.zero)
    assert ("support order" in noted) != row.ignores_order


@rows(starts_at_net=True)
def test_no_inner_step_leaves_the_net_as_it_was_built(row: Row):
    learner, task = learner_with(row), smooth_task()
    predicted = learner.predict(learner.adapt(task.support, 0), task.query.x)
    torch.testing.assert_close(predicted, smooth_net(WAYS)(task.query.x), rtol=1e-12, atol=1e-12)


@rows(ignores_order=True)
def test_the_order_of_the_support_examples_does_not_matter(row: Row):
    learner, task = learner_with(row), smooth_task()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    permuted = Examples(task.support.x[order], task.support.y[order])
    found, expected = (learner.predict(learner.adapt(support), task.query.x) for support in (permuted, task.support))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@rows()
def test_other_ways_than_those_of_training_are_tested_or_refused_in_words(row: Row):
    learner = learner_of(smooth_net(WAYS).float(), row.algorithm).for_ways(WAYS)
    for ways in (WAYS - 1, WAYS + 1):
        tasks = image_splits(ways).test
        if row.has_any_ways:
            assert 0 <= fewstep.evaluate(learner, tasks, count=2).score.mean <= 1
        else:
            with pytest.raises(ValueError, match=f"the tasks have {ways} ways"):
                fewstep.evaluate(learner, tasks, count=2)


@rows()
def test_the_adapted_net_predicts_as_the_learner_does_and_comes_back_from_its_file(row: Row, tmp_path: Path):
    task = smooth_task()
    learner = learner_of(smooth_net(WAYS), row.algorithm, norm="support").for_evaluation()
    model = fewstep.adapt(learner, task.support)
    expected = learner.predict(learner.adapt(task.support), task.query.x)
    torch.testing.assert_close(model(task.query.x), expected, rtol=1e-8, atol=1e-8)
    model.fewstep.save(tmp_path / "model.fewstep")
    assert torch.equal(
        fewstep.load(tmp_path / "model.fewstep", net=smooth_net(WAYS))(task.query.x), model(task.query.x)
    )
