import time
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from builders import NORMS, InDouble, image_splits, smooth_net, smooth_task, stacked
from fewstep.algorithms.maml import MAML
from fewstep.autotune import choose_mapping
from fewstep.core import Meta, MetaGradient, Task, map_tensors
from fewstep.evaluation import Evaluation, evaluate
from fewstep.inner.adagrad import Adagrad
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers, sum_of
from fewstep.model import Model
from fewstep.nets.conv4 import Conv4
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.training import meta_gradient

IDENTICAL = {"rtol": 0, "atol": 0}
LOOP = Mapping()


@pytest.fixture
def two_intra_op_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def conv4_learner(order: int = 2, norm: str = "transductive") -> Learner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Conv4(filters=4).build((1, 16, 16), 3)
    return learner_of(net, MAML(inner_lr=0.4, inner_steps=2, order=order), norm=norm)


def net_with_dropout() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(25, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).double()


def mapped(learner: Learner, batch: Task, mapping: Mapping, *, seed: int = 0, update: int = 0) -> MetaGradient:
    """Every task's own outcome, not their mean."""

    def one(model: Model, task: Task) -> MetaGradient:
        return learner.algorithm.meta_gradient(model, learner.meta, task, update)

    with Workers(learner.model, mapping, seed=seed) as workers:
        return workers.map(one, batch, step=update)


def looped(learner: Learner, batch: Task) -> MetaGradient:
    """The reference: one task after the other, with no worker."""
    tasks = [batch.select(i) for i in range(len(batch.support.x))]
    outcomes = [learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0) for task in tasks]
    return map_tensors(lambda *parts: torch.stack(parts), *outcomes)


def mean_of_support(model: Model, task: Task) -> Tensor:
    return task.support.x.mean()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("order", [1, 2])
def test_any_number_of_threads_equals_the_loop_bit_for_bit(order: int, threads: int):
    learner = conv4_learner(order)
    batch = image_splits(size=16).train.sample(0, "train", 0, 6)
    torch.testing.assert_close(
        mapped(learner, batch, Mapping(threads=threads)), looped(learner, batch), check_stride=False, **IDENTICAL
    )


@pytest.mark.parametrize("norm", [norm for norm in NORMS if norm != "transductive"])
def test_threads_equal_the_loop_bit_for_bit_under_every_other_policy(norm: str):
    """The state, which is what training accumulates, included."""
    learner, batch = conv4_learner(2, norm), image_splits(size=16).train.sample(0, "train", 0, 6)
    found, expected = mapped(learner, batch, Mapping(threads=2)), looped(learner, batch)
    torch.testing.assert_close(found, expected, check_stride=False, **IDENTICAL)
    assert bool(found.state) == (norm in ("running", "per_step"))


def test_the_mean_over_a_meta_batch_does_not_depend_on_threads_by_a_single_bit():
    learner = conv4_learner()
    batch = image_splits(size=16).train.sample(0, "train", 0, 6)
    means = []
    for threads in (1, 3):
        with Workers(learner.model, Mapping(threads=threads)) as workers:
            means.append(meta_gradient(learner, batch, workers, 0))
    torch.testing.assert_close(means[0], means[1], **IDENTICAL)


def test_a_sum_is_that_of_each_tensor_and_leaves_the_parts_as_they_are():
    parts = [{"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([3.0, 6.0])}, {"a": torch.tensor([5.0, 1.0])}]
    assert sum_of(iter(parts))["a"].tolist() == [9.0, 9.0]
    assert sum_of(parts[:1])["a"].tolist() == parts[0]["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("mapping", [LOOP, Mapping(threads=2), Mapping(chunk=2), Mapping(chunk=2, execution="traced")])
def test_the_mean_is_that_of_each_task(mapping: Mapping):
    batch = stacked([smooth_task(i) for i in range(3)])
    expected = [batch.select(i).support.x.mean().item() for i in range(3)]
    with Workers(learner_of(smooth_net(), MAML(inner_lr=0.1)).model, mapping) as workers:
        found = workers.mean(
            lambda model, given, task: given[0] * mean_of_support(model, task), [torch.tensor(2.0)], batch
        )
        assert found.item() == pytest.approx(2 * sum(expected) / 3, rel=1e-12)


@pytest.mark.parametrize("chunk", [4, 6])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("order", [1, 2])
def test_vectorised_chunks_equal_the_loop(order: int, norm: str, chunk: int):
    """Four does not divide six: the last chunk is a smaller one."""
    algorithm = MAML(inner_lr=0.2, inner_steps=2, order=order, optimizer=Adagrad(), learn_inner_lr=True)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    batch = stacked([smooth_task(i) for i in range(6)])
    torch.testing.assert_close(
        mapped(learner, batch, Mapping(chunk=chunk)), looped(learner, batch), rtol=1e-10, atol=1e-12
    )


def test_threads_of_chunks_equal_the_loop():
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2), norm="support")
    batch = stacked([smooth_task(i) for i in range(6)])
    torch.testing.assert_close(
        mapped(learner, batch, Mapping(threads=2, chunk=2)), looped(learner, batch), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("mapping", [Mapping(threads=2), Mapping(chunk=4), Mapping(threads=2, chunk=3)])
@pytest.mark.parametrize("norm", NORMS)
def test_evaluation_mapped_equals_evaluation_looped(norm: str, mapping: Mapping):
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2), norm=norm)
    tasks = InDouble(image_splits().test)
    loop, other = (evaluate(learner, tasks, Evaluation(tasks=10, steps=2), mapping=m) for m in (LOOP, mapping))
    assert loop == other


def test_evaluation_of_regression_in_chunks_equals_the_loop():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    learner = learner_of(net, MAML(inner_lr=0.01), loss="mean_squared_error")
    tasks = InDouble(Sinusoid())
    loop, chunks = (
        evaluate(learner, tasks, Evaluation(tasks=10, steps=2), mapping=m) for m in (LOOP, Mapping(chunk=4))
    )
    torch.testing.assert_close(chunks.at_step, loop.at_step, rtol=1e-12, atol=0)


@pytest.mark.parametrize("mapping", [LOOP, Mapping(threads=3), Mapping(chunk=2), Mapping(threads=2, chunk=3)])
def test_outputs_come_back_in_task_order(mapping: Mapping):
    """The first tasks take longest, so that threads finish in another order than they began."""

    def slow_at_first(model: Model, task: Task) -> Tensor:
        if mapping.chunk == 1:
            time.sleep(0.02 if task.support.x.max() < 3 else 0.0)
        return mean_of_support(model, task)

    numbers = torch.arange(7.0)
    x = numbers[:, None, None].expand(7, 2, 1)
    batch = map_tensors(lambda tensor: x, stacked([smooth_task()] * 7))
    with Workers(learner_of(smooth_net(), MAML(inner_lr=0.1)).model, mapping) as workers:
        assert workers.map(slow_at_first, batch).tolist() == numbers.tolist()


@pytest.mark.parametrize("mapping", [LOOP, Mapping(threads=2)])
def test_an_exception_in_a_task_reaches_the_caller(mapping: Mapping):
    batch = stacked([smooth_task(i) for i in range(4)])
    third = batch.support.x[2].mean()

    def fail_on_third(model: Model, task: Task) -> Tensor:
        if task.support.x.mean() == third:
            raise ArithmeticError("the third task fails")
        return mean_of_support(model, task)

    with (
        Workers(learner_of(smooth_net(), MAML(inner_lr=0.1)).model, mapping) as workers,
        pytest.raises(ArithmeticError, match="the third task fails"),
    ):
        workers.map(fail_on_third, batch)


@pytest.mark.usefixtures("two_intra_op_threads")
def test_one_intra_op_thread_while_at_work_and_as_many_as_before_afterwards():
    model = learner_of(smooth_net(), MAML(inner_lr=0.1)).model

    def intra_op_threads(model: Model, task: Task) -> Tensor:
        return torch.tensor(torch.get_num_threads())

    with Workers(model, Mapping(threads=2)) as workers:
        assert torch.get_num_threads() == 1
        assert workers.map(intra_op_threads, stacked([smooth_task()] * 4)).tolist() == [1, 1, 1, 1]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_intra_op_threads")
def test_intra_op_threads_are_restored_after_an_error():
    def stop_at_work() -> None:
        with Workers(learner_of(smooth_net(), MAML(inner_lr=0.1)).model, Mapping(threads=2)):
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        stop_at_work()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("mapping", [Mapping(threads=2), Mapping(chunk=2)])
def test_dropout_with_anything_but_the_loop_is_refused(mapping: Mapping):
    learner = learner_of(net_with_dropout(), MAML(inner_lr=0.1))
    with pytest.raises(ValueError, match="dropout"):
        Workers(learner.model, mapping)


def test_dropout_forces_the_loop_when_the_mapping_is_chosen():
    learner = learner_of(net_with_dropout(), MAML(inner_lr=0.1))
    assert choose_mapping(learner, stacked([smooth_task(i) for i in range(4)]), threads=2) == LOOP


def test_dropout_is_a_function_of_seed_update_and_task():
    learner = learner_of(net_with_dropout(), MAML(inner_lr=0.1))
    batch = stacked([smooth_task()] * 2)
    first, again = mapped(learner, batch, LOOP), mapped(learner, batch, LOOP)
    torch.testing.assert_close(first, again, **IDENTICAL)
    assert not torch.equal(first.logits[0], first.logits[1])
    assert not torch.equal(first.logits, mapped(learner, batch, LOOP, seed=1).logits)
    assert not torch.equal(first.logits, mapped(learner, batch, LOOP, update=1).logits)


def test_dropout_leaves_the_global_random_numbers_alone():
    learner = learner_of(net_with_dropout(), MAML(inner_lr=0.1))
    before = torch.get_rng_state()
    mapped(learner, stacked([smooth_task()] * 2), LOOP)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_net_with_dropout_is_evaluated_without_it_and_over_any_mapping():
    learner = learner_of(net_with_dropout(), MAML(inner_lr=0.1))
    tasks = InDouble(image_splits().test)
    loop, threads = (
        evaluate(learner, tasks, Evaluation(tasks=6, steps=1), mapping=m) for m in (LOOP, Mapping(threads=2))
    )
    assert loop == threads
    assert loop == evaluate(learner, tasks, Evaluation(tasks=6, steps=1))


def test_a_mapping_of_nothing_is_refused():
    with pytest.raises(ValueError, match="threads ≥ 1"):
        Mapping(threads=0)
    with pytest.raises(ValueError, match="chunk ≥ 1"):
        Mapping(chunk=0)


def test_the_chosen_mapping_never_has_idle_threads_and_changes_nothing():
    learner = learner_of(smooth_net(), MAML(inner_lr=0.1))
    before = Meta(*map_tensors(lambda tensor: tensor.detach().clone(), learner.meta))
    mapping = choose_mapping(learner, stacked([smooth_task(i) for i in range(4)]), threads=2)
    assert mapping.threads <= -(-4 // mapping.chunk)
    torch.testing.assert_close(
        map_tensors(lambda tensor: tensor.detach(), learner.meta.learned), before.learned, **IDENTICAL
    )


@pytest.mark.parametrize("mapping", [LOOP, Mapping(chunk=3)])
def test_a_net_that_averages_over_positions_trains_and_is_tested_without_a_warning_of_torch_s(mapping: Mapping):
    """Under a vmap, torch has no batched form of its average over channels that lie last."""
    learner = learner_of(Conv4(filters=10, downsample="stride").build((1, 28, 28), 3), MAML(inner_lr=0.1))
    tasks = image_splits(size=28).train
    with warnings.catch_warnings(), Workers(learner.model, mapping) as workers:
        warnings.simplefilter("error")
        meta_gradient(learner, tasks.sample(0, "train", 0, 3), workers, 0)
        evaluate(learner, tasks, Evaluation(tasks=3, steps=1), mapping=mapping)
