"""What holds for every algorithm that makes a head of the support set, whatever its equation."""

from typing import Any

import pytest
import torch
from torch import Tensor

from builders import OWN_QUERIES, InDouble, image_splits, smooth_net, smooth_task
from fewstep.algorithm import Algorithm
from fewstep.algorithms.baseline_plus_plus import BaselinePlusPlus, pretraining_on_classes
from fewstep.algorithms.matching_net import MatchingNet
from fewstep.algorithms.proto_maml import ProtoMAML
from fewstep.algorithms.protonet import ProtoNet
from fewstep.algorithms.r2d2 import R2D2
from fewstep.core import Examples
from fewstep.evaluation import Evaluation, evaluate
from fewstep.inner.embedded import embedded, embedded_queries
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.training import Training, outer_optimizer, updates

HEADS: dict[str, Algorithm] = {
    "protonet": ProtoNet(),
    "matchingnet": MatchingNet(scale=4.0),
    "r2d2": R2D2(),
    "protomaml": ProtoMAML(inner_lr=0.02, inner_steps=2),
    "baselinepp": BaselinePlusPlus(head_steps=5),
}
every_head = pytest.mark.parametrize("algorithm", [pytest.param(value, id=name) for name, value in HEADS.items()])


def predicted(learner: Learner, support: Examples, x: Tensor) -> Tensor:
    return learner.predict(learner.adapt(support), x)


def trained(algorithm: Algorithm, norm: Any) -> Learner:
    """A learner after a few updates, so that what it accumulates is no longer as at the start; float64."""
    learner, tasks = learner_of(smooth_net(), algorithm, norm=norm), InDouble(image_splits().train)
    learner = learner.checked(tasks.sample(0, "check", 0, 1).select(0), tasks.outputs)
    training = Training(updates=3, meta_batch=2, lr=1e-2)
    with Workers(learner.model, Mapping()) as workers:
        for _ in updates(learner, tasks, training, outer_optimizer(learner.meta, training), workers):
            pass
    return learner


@every_head
@pytest.mark.parametrize("norm", OWN_QUERIES)
def test_queries_one_by_one_are_predicted_as_all_together(algorithm: Algorithm, norm: str):
    learner, task = trained(algorithm, norm).for_evaluation(), smooth_task(queries=3)
    phi = learner.adapt(task.support)
    alone = torch.cat([learner.predict(phi, query[None]) for query in task.query.x])
    torch.testing.assert_close(alone, learner.predict(phi, task.query.x), rtol=1e-10, atol=1e-10)


@every_head
@pytest.mark.parametrize("norm", ["running", "per_step"])
def test_a_support_example_is_embedded_as_a_query_where_statistics_are_accumulated(algorithm: Algorithm, norm: str):
    learner, task = trained(algorithm, norm).for_evaluation(), smooth_task(shots=2)
    found = embedded(learner.model, learner.meta, task.support)
    expected = embedded_queries(learner.model, learner.adapt(task.support, steps=0), task.support.x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@every_head
@pytest.mark.parametrize("norm", ["transductive", "support", "running"])
def test_the_order_of_the_support_set_does_not_matter(algorithm: Algorithm, norm: str):
    learner, task = trained(algorithm, norm).for_evaluation(), smooth_task(shots=3)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    shuffled = Examples(task.support.x[order], task.support.y[order])
    found, expected = (predicted(learner, support, task.query.x) for support in (shuffled, task.support))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@every_head
def test_classes_may_be_numbered_in_any_order(algorithm: Algorithm):
    """Renumbered, the columns of the logits come in that order."""
    learner, task = trained(algorithm, "support").for_evaluation(), smooth_task(shots=2)
    number = torch.tensor([2, 0, 1])
    renumbered = Examples(task.support.x, number[task.support.y])
    found, expected = (predicted(learner, support, task.query.x) for support in (renumbered, task.support))
    torch.testing.assert_close(found[:, number], expected, rtol=1e-9, atol=1e-9)


@every_head
@pytest.mark.parametrize("norm", ["transductive", "running", "none"])
def test_tests_may_have_other_ways_than_training_in_every_mapping(algorithm: Algorithm, norm: str):
    learner, test = trained(algorithm, norm), InDouble(image_splits(ways=5, shots=1).test)
    loop, chunks = (
        evaluate(learner, test, Evaluation(tasks=6, steps=1), mapping=mapping).per_task
        for mapping in (Mapping(), Mapping(chunk=3))
    )
    assert loop == chunks
    task = test.sample(0, "test", 0, 1).select(0)
    assert predicted(learner.for_evaluation(), task.support, task.query.x).shape == (10, 5)


@every_head
def test_training_tells_patterns_apart_better_than_the_net_as_built(algorithm: Algorithm):
    splits = image_splits(ways=5, shots=1, noise=90)
    train = pretraining_on_classes(splits, algorithm).train
    learner = learner_of(smooth_net(channels=6).float(), algorithm, norm="support", ways=train.outputs)
    learner = learner.checked(train.sample(0, "check", 0, 1).select(0), train.outputs)
    tested = Evaluation(tasks=60, steps=algorithm.inner_steps)
    before = evaluate(learner, splits.train, tested).score.mean
    training = Training(updates=25, meta_batch=2, lr=2e-2)
    with Workers(learner.model, Mapping()) as workers:
        for _ in updates(learner, train, training, outer_optimizer(learner.meta, training), workers):
            pass
    assert evaluate(learner, splits.train, tested).score.mean > before + 0.05
