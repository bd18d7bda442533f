"""MAML++: the schedules of its tips, and that without them it is MAML. Gradients: `test_maml_plus_plus_gradients`."""

import dataclasses

import pytest
import torch

from builders import NORMS, RULES, InDouble, image_splits, smooth_net, smooth_task
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.core import Meta, MetaGradient, map_tensors
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.training import Training, outer_optimizer, updates

EVERY_TIP = MAMLPlusPlus(
    inner_lr=0.2,
    inner_steps=3,
    learn_inner_lr=True,
    multi_step_epochs=4,
    first_order_epochs=2,
    per_step_norm=True,
    epoch=5,
)
IDENTICAL = {"rtol": 0, "atol": 0}


def gradient_of(learner: Learner, update: int = 0) -> MetaGradient:
    return learner.algorithm.meta_gradient(learner.model, learner.meta, smooth_task(), update)


def assert_identical(a: MetaGradient, b: MetaGradient) -> None:
    torch.testing.assert_close(a._asdict(), b._asdict(), **IDENTICAL)


def trained(algorithm: MAML | MAMLPlusPlus, norm: str, training: Training) -> Meta:
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    with Workers(learner.model, Mapping()) as workers:
        optimizer = outer_optimizer(learner.meta, training)
        assert len(list(updates(learner, InDouble(image_splits().train), training, optimizer, workers))) > 1
    return map_tensors(torch.detach, learner.meta)


@pytest.mark.parametrize(
    ("epoch", "early", "last"),
    [(0, 0.2, 0.2), (1, 0.18, 0.28), (5, 0.1, 0.6), (9, 0.02, 0.92), (10, 0.0, 1.0), (50, 0.0, 1.0)],
)
@pytest.mark.parametrize("update_within", [0, 1, 499])
def test_the_weights_of_the_multi_step_loss_are_those_of_the_official_code(
    epoch: int, early: float, last: float, update_within: int
):
    """S = 5, E = 10, as computed by hand: 1/S − e/(S·E) and 1/S + e(S − 1)/(S·E); an epoch is 500 updates."""
    algorithm = MAMLPlusPlus(inner_lr=0.1, inner_steps=5, multi_step_epochs=10)
    weights = algorithm.loss_weights(500 * epoch + update_within)
    assert weights == pytest.approx((0.0, *[early] * 4, last), rel=1e-12)


def test_no_weight_falls_below_three_hundredths_of_its_first_value():
    """S = 5, E = 50, e = 49: 0.2 − 49/250 = 0.004 is less than 0.03/5 = 0.006, which leaves 1 − 4 · 0.006 = 0.976."""
    algorithm = MAMLPlusPlus(inner_lr=0.1, inner_steps=5, multi_step_epochs=50, epoch=1)
    assert algorithm.loss_weights(49) == pytest.approx((0.0, 0.006, 0.006, 0.006, 0.006, 0.976), rel=1e-12)
    assert algorithm.loss_weights(48) == pytest.approx((0.0, 0.008, 0.008, 0.008, 0.008, 0.968), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("epochs", [0, 1, 3, 40])
def test_the_weights_sum_to_one_and_the_last_never_falls(steps: int, epochs: int):
    algorithm = MAMLPlusPlus(inner_lr=0.1, inner_steps=steps, multi_step_epochs=epochs, epoch=1)
    tables = [algorithm.loss_weights(epoch) for epoch in range(epochs + 2)]
    assert [sum(weights) for weights in tables] == pytest.approx([1.0] * len(tables), rel=1e-12)
    assert [weights[-1] for weights in tables] == sorted(weights[-1] for weights in tables)
    assert {weights[0] for weights in tables} == {0.0}  # θ itself is never asked


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("rule", "norm"),
    [
        *(("sgd", norm) for norm in NORMS),
        *((rule, "support") for rule in ("nesterov", "adagrad-inside", "adam-outside")),
    ],
)
def test_with_every_tip_off_it_is_maml_to_the_last_bit(rule: str, order: int, norm: str):
    settings = {"inner_lr": 0.2, "inner_steps": 3, "order": order, "optimizer": RULES[rule].ours}
    plus_plus, plain = (learner_of(smooth_net(), kind(**settings), norm=norm) for kind in (MAMLPlusPlus, MAML))
    assert_identical(gradient_of(plus_plus, 7), gradient_of(plain, 7))
    support = smooth_task().support
    torch.testing.assert_close(plus_plus.adapt(support, 4), plain.adapt(support, 4), **IDENTICAL)


@pytest.mark.parametrize("norm", ["transductive", "support", "per_step"])
def test_with_every_tip_off_it_learns_what_maml_learns_to_the_last_bit(norm: str):
    training = Training(updates=4, meta_batch=2, lr=0.05)
    settings = {"inner_lr": 0.2, "inner_steps": 2, "inner_lr_of": (("4.", 0.3),)}
    found, expected = (trained(kind(**settings), norm, training) for kind in (MAMLPlusPlus, MAML))
    torch.testing.assert_close(found._asdict(), expected._asdict(), **IDENTICAL)
    assert not torch.equal(found.learned["theta"]["4.weight"], smooth_net()[4].weight)


def test_without_an_inner_step_it_is_maml_too():
    plus_plus, plain = (learner_of(smooth_net(), kind(inner_lr=0.2, inner_steps=0)) for kind in (MAMLPlusPlus, MAML))
    assert_identical(gradient_of(plus_plus), gradient_of(plain))


@pytest.mark.parametrize("norm", ["transductive", "support"])
def test_the_derivative_order_is_annealed_at_the_end_of_its_epochs_to_the_last_bit(norm: str):
    """Two epochs of three updates: update 5, counted from 0, is the last in first order."""
    algorithm = MAMLPlusPlus(inner_lr=0.2, inner_steps=3, first_order_epochs=2, epoch=3)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    first, second = (
        gradient_of(learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=3, order=order), norm=norm))
        for order in (1, 2)
    )
    for update, expected in ((0, first), (5, first), (6, second), (10**9, second)):
        assert_identical(gradient_of(learner, update), expected)
    assert not torch.equal(first.gradient["theta"]["0.weight"], second.gradient["theta"]["0.weight"])
    assert [algorithm.order_at(update) for update in (0, 5, 6, 10**9)] == [1, 1, 2, 2]


def test_an_annealed_order_whose_end_is_first_order_stays_there():
    algorithm = MAMLPlusPlus(inner_lr=0.2, order=1, first_order_epochs=1, epoch=2)
    assert [algorithm.order_at(update) for update in (0, 1, 2, 100)] == [1, 1, 1, 1]


def test_the_loss_of_a_late_update_is_that_of_the_last_step_and_of_an_early_one_is_not():
    algorithm = MAMLPlusPlus(inner_lr=0.2, inner_steps=3, multi_step_epochs=2, epoch=10)
    learner = learner_of(smooth_net(), algorithm)
    plain = gradient_of(learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=3)))
    assert_identical(gradient_of(learner, 20), plain)
    early = gradient_of(learner, 19)
    assert not torch.equal(early.loss, plain.loss)
    assert torch.equal(early.logits, plain.logits)


@pytest.mark.parametrize("norm", ["support", "per_step", "layer"])
def test_training_with_every_tip_moves_every_tensor_and_every_row(norm: str):
    """Updates 0 to 9 are first order."""
    training = Training(updates=11, meta_batch=2, lr=0.01)
    begun = learner_of(smooth_net(), EVERY_TIP, norm=norm).meta
    after = trained(EVERY_TIP, norm, training)
    assert set(after.learned) == {"theta", "inner_lr", "norm"}
    moved = map_tensors(lambda new, old: new != old, after.learned, begun.learned)
    assert all(tensor.any() for tensor in moved["theta"].values())
    assert all(tensor.all() for tensor in moved["inner_lr"].values())
    assert all(row.any() for tensor in moved["norm"].values() for row in tensor)
    assert all(tensor.isfinite().all() for params in after.learned.values() for tensor in params.values())


@pytest.mark.parametrize("chunk", [2, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_every_tip_in_vectorised_chunks_equals_the_loop(norm: str, chunk: int):
    learner = learner_of(smooth_net(), EVERY_TIP, norm=norm)
    batch = InDouble(image_splits().train).sample(0, "train", 0, 4)
    outcomes = []
    for mapping in (Mapping(), Mapping(threads=2, chunk=chunk)):
        with Workers(learner.model, mapping) as workers:
            outcomes.append(
                workers.map(lambda model, task: EVERY_TIP.meta_gradient(model, learner.meta, task, 12), batch)
            )
    torch.testing.assert_close(outcomes[0]._asdict(), outcomes[1]._asdict(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inner_steps": -1}, "inner_steps=-1"),
        ({"order": 3}, "order=3"),
        ({"multi_step_epochs": -1}, "multi_step_epochs ≥ 0"),
        ({"first_order_epochs": -1}, "first_order_epochs ≥ 0"),
        ({"epoch": 0}, "epoch ≥ 1"),
        ({"inner_steps": 0}, "inner_steps=0 leaves no step"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, int], words: str):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(EVERY_TIP, **changes)


@pytest.mark.parametrize(
    "tip",
    [{"learn_inner_lr": True}, {"per_step_norm": True}, {"multi_step_epochs": 1}],
    ids=lambda tip: next(iter(tip)),
)
def test_a_tip_per_step_without_steps_is_refused(tip: dict[str, int]):
    with pytest.raises(ValueError, match="inner_steps=0 leaves no step"):
        MAMLPlusPlus(inner_lr=0.1, inner_steps=0, **tip)


def test_norms_per_step_without_a_norm_are_refused():
    with pytest.raises(ValueError, match="the net has no norm with weights; leave it off"):
        learner_of(torch.nn.Linear(2, 1), EVERY_TIP)
