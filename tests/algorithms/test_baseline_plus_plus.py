import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fewstep
from builders import image_splits, smooth_net, smooth_task
from fewstep.algorithms.baseline_plus_plus import BaselinePlusPlus, pretraining_on_classes
from fewstep.algorithms.protonet import ProtoNet
from fewstep.auditing import audit
from fewstep.core import Params, Task
from fewstep.learner import learner_of
from fewstep.training import Training
from head_builders import OUTER_LOSS_NORMS, assert_whole_gradient, body_outputs


def plain_cosines(features: Tensor, weight: Tensor) -> Tensor:
    return torch.stack([F.cosine_similarity(features, w[None], dim=1) for w in weight], 1)


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_the_head_is_that_of_torchs_gradient_descent_on_cosines_from_the_mean_directions(norm: str, steps: int):
    task = smooth_task(shots=3)
    learner = learner_of(smooth_net(), BaselinePlusPlus(scale=4.0, head_lr=0.5, head_steps=steps), norm=norm)
    features, queries = (x.detach() for x in body_outputs(smooth_net(), task.support, task.query.x, norm))
    directions = features / features.norm(dim=1, keepdim=True)
    means = torch.stack([directions[task.support.y == k].mean(0) for k in range(3)])
    weight = nn.Parameter(means / means.norm(dim=1, keepdim=True))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(4.0 * plain_cosines(features, weight), task.support.y).backward()
        optimizer.step()
    found = learner.predict(learner.adapt(task.support), task.query.x)
    torch.testing.assert_close(found, 4.0 * plain_cosines(queries, weight.detach()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", ["transductive", "support", "running", "none"])
def test_pre_training_descends_the_loss_of_one_cosine_classifier_of_all_classes(norm: str):
    learner = learner_of(smooth_net(), BaselinePlusPlus(scale=4.0), norm=norm, ways=7)
    assert learner.meta.learned["classifier"]["weight"].shape == (7, 27)

    def logits(net: nn.Module, task: Task, learned: dict[str, Params]) -> Tensor:
        """A mini-batch is normalised by its own statistics under every policy."""
        features, _ = body_outputs(net, task.query, task.query.x, norm)
        return 4.0 * plain_cosines(features, learned["classifier"]["weight"])

    assert_whole_gradient(learner, logits)


def test_the_body_stays_as_it_is_and_the_heads_of_training_play_no_part_at_test():
    learner, task = learner_of(smooth_net(), BaselinePlusPlus()), smooth_task()
    phi = learner.adapt(task.support)
    theta = learner.meta.learned["theta"]
    assert all(phi[name] is theta[name] for name in theta)
    assert set(phi) - set(theta) == {"4.weight", "4.scale"}


def test_without_a_number_of_classes_those_of_the_nets_own_head_are_trained():
    assert learner_of(smooth_net(ways=6), BaselinePlusPlus()).meta.learned["classifier"]["weight"].shape == (6, 27)


def test_the_front_door_trains_a_weight_for_every_class_of_the_split_and_tests_on_tasks():
    splits = image_splits(ways=5, shots=1, classes=8)
    training = Training(updates=2, meta_batch=2, validation_tasks=2)
    run = fewstep.train(smooth_net(ways=5).float(), BaselinePlusPlus(head_steps=2), splits, training=training)
    assert run.learner.meta.learned["classifier"]["weight"].shape == (8, 27)
    assert run.update == 2
    assert 0 <= fewstep.evaluate(run, splits.test, count=3).score.mean <= 1


@pytest.mark.parametrize("norm", ["transductive", "support"])
def test_the_audit_finds_no_order_and_no_leak(norm: str):
    splits = pretraining_on_classes(image_splits(), BaselinePlusPlus())
    learner = learner_of(smooth_net(), BaselinePlusPlus(head_steps=3), norm=norm, ways=splits.train.outputs)
    card = audit(learner, splits)
    assert (card.order, card.passed) == (None, True)
    assert {check.name for check in card.checks if check.verdict == "note"} <= {"derivative order", "transduction"}


def test_other_algorithms_keep_their_tasks():
    splits = image_splits()
    assert pretraining_on_classes(splits, ProtoNet()) is splits


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: BaselinePlusPlus(scale=0.0), "expected scale > 0"),
        (lambda: BaselinePlusPlus(head_steps=-1), "head_steps ≥ 0"),
        (lambda: learner_of(smooth_net(), BaselinePlusPlus(head="0")), r"takes the place of an nn\.Linear"),
        (lambda: learner_of(smooth_net(), BaselinePlusPlus(), loss="mean_squared_error"), "take mean_cross_entropy"),
    ],
)
def test_what_makes_no_sense_is_refused(made, words: str):
    with pytest.raises(ValueError, match=words):
        made()


def test_a_support_example_has_a_cosine_of_one_with_its_class_of_one_shot():
    learner, task = learner_of(smooth_net(), BaselinePlusPlus(scale=3.0, head_steps=0)), smooth_task(shots=1)
    found = learner.predict(learner.adapt(task.support), task.support.x).diagonal()
    torch.testing.assert_close(found, torch.full((3,), 3.0, dtype=torch.float64))
