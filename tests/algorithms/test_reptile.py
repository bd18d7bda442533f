import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from builders import RULES, InDouble, image_splits, leaving_as_it_was, smooth_net, smooth_task, stacked
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.reptile import Reptile, mini_batch
from fewstep.core import Examples, Meta, MetaGradient, Params, Task, map_tensors
from fewstep.evaluation import Evaluation, evaluate
from fewstep.inner.adam import Adam
from fewstep.inner.sgd import SGD
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.model import Model
from fewstep.tasks.splits import Tasks
from fewstep.training import Training, outer_optimizer, updates

EXACT = {"rtol": 1e-12, "atol": 1e-12}
TASKS = InDouble(image_splits(shots=4).train)
"""Twelve support images a task."""
SERIAL = Training(updates=4, meta_batch=1, lr=0.7, optimizer="sgd")
BATCHED = Training(updates=4, meta_batch=3, lr=0.7, optimizer="sgd")


def trained(algorithm: Reptile, training: Training, tasks: Tasks = TASKS, norm: str = "transductive") -> Meta:
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    with Workers(learner.model, Mapping()) as workers:
        progress = list(updates(learner, tasks, training, outer_optimizer(learner.meta, training), workers))
    assert len(progress) == training.updates
    return map_tensors(torch.detach, learner.meta)


def plain_steps(net: nn.Module, optimizer: torch.optim.Optimizer, batches: list[Examples]) -> None:
    for batch in batches:
        optimizer.zero_grad()
        F.cross_entropy(net(batch.x), batch.y).backward()
        optimizer.step()


def batches_of(support: Examples, algorithm: Reptile) -> list[Examples]:
    if algorithm.inner_batch is None:
        return [support] * algorithm.inner_steps
    return [mini_batch(support, i, algorithm.inner_batch) for i in range(algorithm.inner_steps)]


def serial_reptile(
    algorithm: Reptile, new_optimizer: Callable[..., torch.optim.Optimizer]
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Alg. 1 on the tasks of `SERIAL`, with one optimizer of torch's all along."""
    net = smooth_net()
    optimizer = new_optimizer(net.parameters())
    for update in range(SERIAL.updates):
        support = TASKS.sample(0, "train", update, 1).select(0).support
        before = copy.deepcopy(net)
        plain_steps(net, optimizer, batches_of(support, algorithm))
        with torch.no_grad():
            for theta, phi in zip(before.parameters(), net.parameters(), strict=True):
                phi.copy_(theta + SERIAL.lr * (phi - theta))
    return net, optimizer


def named(net: nn.Module) -> Params:
    return {name: parameter.detach() for name, parameter in net.named_parameters()}


def slot_of(net: nn.Module, optimizer: torch.optim.Optimizer, slot: str) -> Params:
    return {name: optimizer.state[parameter][slot] for name, parameter in net.named_parameters()}


@pytest.mark.parametrize("training", [SERIAL, BATCHED])
@pytest.mark.parametrize("direction", ["reptile", "foml"])
def test_with_one_step_of_gradient_descent_it_is_joint_training_at_the_product_of_both_rates(
    direction: str, training: Training
):
    """φ = θ − α g, so θ + ε (mean φ − θ) = θ − ε α mean g; the last step is the only one."""
    algorithm = Reptile(inner_lr=0.3, inner_steps=1, inner_batch=None, optimizer=SGD(), direction=direction)
    net = smooth_net()
    joint = torch.optim.SGD(net.parameters(), lr=training.lr * 0.3)
    for update in range(training.updates):
        batch = TASKS.sample(0, "train", update, training.meta_batch)
        joint.zero_grad()
        for x, y in zip(batch.support.x, batch.support.y, strict=True):
            (F.cross_entropy(net(x), y) / training.meta_batch).backward()
        joint.step()
    torch.testing.assert_close(trained(algorithm, training).learned["theta"], named(net), **EXACT)


@pytest.mark.parametrize("inner_batch", [None, 5])
@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_one_task_an_update_is_the_serial_algorithm_with_the_state_of_adam_kept(beta1: float, inner_batch: int | None):
    algorithm = Reptile(inner_lr=0.02, inner_steps=3, inner_batch=inner_batch, optimizer=Adam(beta1=beta1))
    found = trained(algorithm, SERIAL)
    net, adam = serial_reptile(algorithm, lambda p: torch.optim.Adam(p, lr=0.02, betas=(beta1, 0.999)))
    torch.testing.assert_close(found.learned["theta"], named(net), **EXACT)
    torch.testing.assert_close(found.state["slots.mean"], slot_of(net, adam, "exp_avg"), **EXACT)
    torch.testing.assert_close(found.state["slots.mean_square"], slot_of(net, adam, "exp_avg_sq"), **EXACT)
    steps = 3 * SERIAL.updates
    weights = {"mean_weight": 1 - beta1**steps, "square_weight": 1 - 0.999**steps}
    for slot, expected in weights.items():
        assert [*found.state[f"slots.{slot}"].values()] == pytest.approx([expected] * 5, rel=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_one_task_an_update_is_the_serial_algorithm_with_every_inner_optimizer(rule: str):
    algorithm = Reptile(inner_lr=0.02, inner_steps=2, inner_batch=None, optimizer=RULES[rule].ours)
    net, _ = serial_reptile(algorithm, lambda parameters: RULES[rule].torch_rule(parameters, lr=0.02))
    torch.testing.assert_close(trained(algorithm, SERIAL).learned["theta"], named(net), rtol=1e-10, atol=1e-10)


def test_several_tasks_an_update_start_from_the_same_state_and_both_are_averaged():
    """After a first update the state is no longer zero."""
    algorithm = Reptile(inner_lr=0.02, inner_steps=3, inner_batch=5)
    net, training = smooth_net(), Training(updates=2, meta_batch=3, lr=0.7, optimizer="sgd")
    adam = torch.optim.Adam(net.parameters(), lr=0.02, betas=(0.0, 0.999))
    for update in range(training.updates):
        batch, ends = TASKS.sample(0, "train", update, 3), []
        for task in (batch.select(i) for i in range(3)):
            end, its_adam = copy.deepcopy((net, adam))
            plain_steps(end, its_adam, batches_of(task.support, algorithm))
            ends.append((named(end), slot_of(end, its_adam, "exp_avg_sq")))
        phi, square = (map_tensors(lambda *parts: sum(parts) / 3, *trees) for trees in zip(*ends, strict=True))
        net.load_state_dict(
            map_tensors(lambda theta, mean: theta + 0.7 * (mean - theta), named(net), phi), strict=False
        )
        for name, parameter in net.named_parameters():
            seen = torch.tensor(3.0 * (update + 1))
            adam.state[parameter] = {"step": seen, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": square[name]}
    found = trained(algorithm, training)
    torch.testing.assert_close(found.learned["theta"], named(net), **EXACT)
    torch.testing.assert_close(found.state["slots.mean_square"], square, **EXACT)


def outcome(algorithm: Reptile, task: Task) -> Params:
    learner = learner_of(smooth_net(), algorithm)
    return algorithm.meta_gradient(learner.model, learner.meta, task, 0).gradient["theta"]


def test_the_direction_is_the_whole_way_and_that_of_foml_the_last_step():
    task = smooth_task(shots=4)
    algorithm = Reptile(inner_lr=0.1, inner_steps=3, inner_batch=5, optimizer=SGD())
    ends = []
    for steps in (0, 2, 3):
        net = smooth_net()
        plain_steps(net, torch.optim.SGD(net.parameters(), lr=0.1), batches_of(task.support, algorithm)[:steps])
        ends.append(named(net))
    start, before_last, end = ends
    last_step = Reptile(inner_lr=0.1, inner_steps=3, inner_batch=5, optimizer=SGD(), direction="foml")
    torch.testing.assert_close(outcome(algorithm, task), map_tensors(torch.sub, start, end), **EXACT)
    torch.testing.assert_close(outcome(last_step, task), map_tensors(torch.sub, before_last, end), **EXACT)


def test_foml_is_first_order_maml_with_the_last_mini_batch_as_its_queries():
    """α times the gradient at φ_{k−1} of the loss on the last batch: MAML with k − 1 steps, scaled by α."""
    task = smooth_task()
    algorithm = Reptile(inner_lr=0.2, inner_steps=4, inner_batch=None, optimizer=SGD(), direction="foml")
    maml = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=3, order=1))
    expected = maml.algorithm.meta_gradient(maml.model, maml.meta, Task(task.support, task.support), 0).gradient
    found = outcome(algorithm, task)
    torch.testing.assert_close(found, {name: 0.2 * g for name, g in expected["theta"].items()}, rtol=1e-10, atol=1e-13)


def numbered(count: int) -> Examples:
    return Examples(torch.arange(float(count))[:, None], torch.arange(count))


def test_mini_batches_are_without_replacement_and_a_partial_one_is_carried_into_the_next_pass():
    """Eight examples by threes: six batches and two examples of the seventh make two and a half passes."""
    drawn = [mini_batch(numbered(8), i, 3) for i in range(8)]
    order = torch.cat([batch.y for batch in drawn]).tolist()
    assert [len(batch.y) for batch in drawn] == [3] * 8
    passes = [order[i : i + 8] for i in (0, 8, 16)]
    assert all(sorted(one) == list(range(8)) for one in passes)
    assert len({tuple(one) for one in passes}) == 3
    assert all(torch.equal(batch.x[:, 0].long(), batch.y) for batch in drawn)


def test_a_mini_batch_larger_than_the_support_set_reads_it_more_than_once():
    batch = mini_batch(numbered(4), 1, 6)  # examples 6 to 11 of the repeated set: half a pass, then a whole one
    assert sorted(batch.y[2:].tolist()) == [0, 1, 2, 3]


def test_without_persistence_every_task_starts_with_a_fresh_optimizer():
    algorithm = Reptile(inner_lr=0.02, inner_steps=2, inner_batch=None, persistent_slots=False)
    net = smooth_net()
    for update in range(SERIAL.updates):
        support = TASKS.sample(0, "train", update, 1).select(0).support
        phi = copy.deepcopy(net)
        plain_steps(phi, torch.optim.Adam(phi.parameters(), lr=0.02, betas=(0.0, 0.999)), [support] * 2)
        moved = map_tensors(lambda theta, end: theta + SERIAL.lr * (end - theta), named(net), named(phi))
        net.load_state_dict(moved, strict=False)
    found = trained(algorithm, SERIAL)
    assert found.state == {}
    torch.testing.assert_close(found.learned["theta"], named(net), **EXACT)


def test_the_annealed_outer_rate_is_the_one_that_moves_theta():
    """Linear from 1 to 0 over 4 updates: the last of them is made at 1/4."""
    annealed = Training(updates=4, meta_batch=1, lr=1.0, optimizer="sgd", schedule="linear", final_lr=0.0)
    algorithm = Reptile(inner_lr=0.3, inner_steps=1, inner_batch=None, optimizer=SGD())
    net = smooth_net()
    for update, epsilon in enumerate((1.0, 0.75, 0.5, 0.25)):
        support = TASKS.sample(0, "train", update, 1).select(0).support
        plain_steps(net, torch.optim.SGD(net.parameters(), lr=0.3 * epsilon), [support])
    torch.testing.assert_close(trained(algorithm, annealed).learned["theta"], named(net), **EXACT)


def reptile_learner(norm: str = "transductive", **settings: object) -> Learner:
    settings = {"inner_lr": 0.05, "inner_steps": 2, "inner_batch": 2, **settings}
    return learner_of(smooth_net(), Reptile(**settings), norm=norm)


def test_a_mini_batch_for_the_test_replaces_that_of_training():
    tasks, settings = InDouble(image_splits(noise=80).test), {"tasks": 12, "steps": 3}
    replaced = evaluate(reptile_learner(), tasks, Evaluation(**settings, inner_batch=6))
    assert replaced == evaluate(reptile_learner(inner_batch=6), tasks, Evaluation(**settings))
    assert replaced != evaluate(reptile_learner(), tasks, Evaluation(**settings))


def test_a_mini_batch_for_the_test_of_an_algorithm_without_any_is_refused():
    learner = learner_of(smooth_net(), MAML(inner_lr=0.1))
    with pytest.raises(ValueError, match=r"evaluation\.inner_batch: MAML has no such field"):
        evaluate(learner, InDouble(image_splits().test), Evaluation(tasks=2, inner_batch=2))


@pytest.mark.parametrize("norm", ["transductive", "running", "per_step"])
def test_evaluation_changes_neither_theta_nor_the_state_that_persists(norm: str):
    learner = reptile_learner(norm)
    with leaving_as_it_was(learner):
        evaluate(learner, InDouble(image_splits().test), Evaluation(tasks=3, inner_batch=3))


@pytest.mark.parametrize("norm", ["transductive", "per_step", "none"])
@pytest.mark.parametrize("mapping", [Mapping(threads=2), Mapping(chunk=3), Mapping(threads=2, chunk=2)])
def test_any_mapping_equals_the_loop(mapping: Mapping, norm: str):
    learner, batch = reptile_learner(norm, direction="foml"), stacked([smooth_task(i) for i in range(6)])

    def one(model: Model, task: Task) -> MetaGradient:
        return learner.algorithm.meta_gradient(model, learner.meta, task, 0)

    outcomes = []
    for each in (Mapping(), mapping):
        with Workers(learner.model, each) as workers:
            outcomes.append(workers.map(one, batch))
    tolerance = {"rtol": 0, "atol": 0} if mapping.chunk == 1 else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(outcomes[0]._asdict(), outcomes[1]._asdict(), **tolerance)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"inner_steps": 0}, "inner_steps=0"),
        ({"inner_batch": 0}, "inner_batch=0"),
        ({"direction": "maml"}, "direction='maml'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], words: str):
    with pytest.raises(ValueError, match=words):
        Reptile(**settings)
