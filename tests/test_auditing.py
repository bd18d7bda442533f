from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from builders import NORMS, OWN_QUERIES, RULES, RULES_AND_NORMS, image_splits, leaving_as_it_was, smooth_net
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.reptile import Reptile
from fewstep.auditing import audit
from fewstep.card import Card, Check
from fewstep.core import Examples, Inner, Meta, MetaGradient, Task, map_tensors
from fewstep.learner import Learner, learner_of
from fewstep.model import Model
from fewstep.nets.conv4 import Conv4
from fewstep.nets.norm import Norm
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tasks.splits import Splits, Tasks


@dataclass(frozen=True, kw_only=True)
class ForgetsTheGraph(MAML):
    """Claims second order and detaches the inner gradient: a forgotten create_graph."""

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        at = {name: value.detach() for name, value in inner.phi.items()}
        gradient = torch.func.grad(model.support_loss)(at, support)
        return self.optimizer.step(inner, gradient, self._rates(meta))


@dataclass(frozen=True, kw_only=True)
class Scales(MAML):
    """The right direction at 1.05 times the length, as after a mean over the wrong count."""

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        outcome = MAML.meta_gradient(self, model, meta, task, update)
        return outcome._replace(gradient=map_tensors(lambda tensor: 1.05 * tensor, outcome.gradient))


@dataclass(frozen=True, kw_only=True)
class PeeksAtQueryLabels(MAML):
    """Adapts on the queries as well."""

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        everything = map_tensors(lambda a, b: torch.cat([a, b]), task.support, task.query)
        return MAML.meta_gradient(self, model, meta, Task(everything, task.query), update)


@dataclass(frozen=True, kw_only=True)
class LearnsFromTheFirstExamples(MAML):
    """Reads the first half of the support set only."""

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        half = map_tensors(lambda tensor: tensor[: len(support.y) // 2], support)
        return MAML.step(self, model, meta, inner, half, i)


@dataclass(frozen=True, kw_only=True)
class WeighsLikeTheNextEpoch(MAMLPlusPlus):
    """Counts epochs from 1 where it takes the multi-step loss, and from 0 where it tells its weights."""

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        return MAMLPlusPlus.meta_gradient(self, model, meta, task, update + self.epoch)


@dataclass(frozen=True, kw_only=True)
class NeverLeavesFirstOrder(MAMLPlusPlus):
    """Forgets the end of the annealing."""

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        return MAMLPlusPlus.meta_gradient(self, model, meta, task, 0)


class CentersTheBatch(nn.Module):
    """A normalisation that no policy knows of."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class HasUnused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused = smooth_net(), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@dataclass(frozen=True)
class CopiesSupportIntoQuery:
    """One query of every task is an image of its support set."""

    source: Tasks

    @property
    def class_names(self) -> list[str]:
        return self.source.class_names

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        task = self.source.sample(seed, stream, step, count)
        task.query.x[:, 2] = task.support.x[:, 3]
        return task


def honest(norm: Norm = "support", **settings: object) -> Learner:
    return learner_of(smooth_net(), MAML(inner_lr=0.2, **settings), norm=norm)


def finding(card: Card, name: str) -> Check:
    (check,) = [check for check in card.checks if check.name == name]
    return check


def faults(card: Card) -> list[str]:
    return [check.name for check in card.checks if check.verdict in ("wrong", "leak")]


def splits_of(train: list[ImageClass], val: list[ImageClass], test: list[ImageClass], overlap: str = "") -> Splits:
    images = image_splits().train.images

    def over(split: str, classes: list[ImageClass]) -> ImageTasks:
        return ImageTasks(split=split, images=images, classes=classes, ways=3, shots=2, queries=2)

    return Splits(over("train", train), over("val", val), over("test", test), {}, overlap)


def classes(*names: str, quarter_turns: int = 0) -> list[ImageClass]:
    return [ImageClass(name, 6 * i, 6, quarter_turns) for i, name in enumerate(names)]


@pytest.mark.parametrize(("rule", "norm"), RULES_AND_NORMS)
@pytest.mark.parametrize("learn_inner_lr", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_the_order_of_honest_maml_is_measured_right(order: int, learn_inner_lr: bool, rule: str, norm: str):
    learner = honest(norm, order=order, inner_steps=2, optimizer=RULES[rule].ours, learn_inner_lr=learn_inner_lr)
    card = audit(learner, image_splits())
    assert card.order == order
    assert finding(card, "derivative order").verdict == "ok"
    assert card.passed


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_is_measured_right_through_relu_and_max_pool(order: int):
    """Kinks spoil some differences, not the median over tasks."""
    torch.manual_seed(0)
    net = Conv4(filters=4).build((1, 16, 16), 3)
    card = audit(learner_of(net, MAML(inner_lr=0.4, order=order)), image_splits(size=16))
    assert card.order == order
    assert card.passed


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_is_measured_right_for_regression(order: int):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    learner = learner_of(net, MAML(inner_lr=0.01, order=order), loss="mean_squared_error")
    card = audit(learner, Splits(Sinusoid(), None, Sinusoid(), {}))
    assert card.order == order
    assert card.passed


def test_with_no_inner_step_both_orders_agree_and_the_card_says_so():
    card = audit(honest(inner_steps=0), image_splits())
    assert card.order is None
    assert finding(card, "derivative order").verdict == "note"
    assert card.passed


def test_a_forgotten_create_graph_is_first_order_and_named():
    learner = learner_of(smooth_net(), ForgetsTheGraph(inner_lr=0.2, inner_steps=2))
    card = audit(learner, image_splits())
    assert card.order == 1
    assert faults(card) == ["derivative order"]
    assert "1 measured, 2 claimed" in finding(card, "derivative order").finding
    assert not card.passed


def test_a_gradient_that_is_neither_order_is_named():
    card = audit(learner_of(smooth_net(), Scales(inner_lr=0.2)), image_splits())
    assert card.order is None
    assert faults(card) == ["derivative order"]
    assert "the gradient is wrong" in finding(card, "derivative order").finding
    assert not card.passed


def plus_plus(kind: type[MAMLPlusPlus] = MAMLPlusPlus, norm: Norm = "support", **tips: object) -> Learner:
    return learner_of(smooth_net(), kind(inner_lr=0.2, inner_steps=3, **tips), norm=norm)


def test_an_annealed_order_is_measured_at_the_start_and_in_the_end():
    card = audit(plus_plus(first_order_epochs=2), image_splits())
    check = finding(card, "derivative order")
    at_the_start, in_the_end = check.finding.split("; in the end: ")
    assert at_the_start.startswith("at the start: 1, measured (")
    assert in_the_end.startswith("2, measured (")
    assert (card.order, check.verdict, card.passed) == (2, "ok", True)


@pytest.mark.parametrize("order", [1, 2])
def test_a_multi_step_loss_is_measured_with_its_weights_at_the_start_and_without_in_the_end(order: int):
    card = audit(plus_plus(multi_step_epochs=2, order=order), image_splits())
    check = finding(card, "derivative order")
    assert check.finding.startswith(f"at the start: {order}, measured (")
    assert f"; in the end: {order}, measured (" in check.finding
    assert (card.order, check.verdict, card.passed) == (order, "ok", True)


@pytest.mark.parametrize("norm", ["transductive", "support", "per_step", "none"])
def test_with_every_tip_no_learned_tensor_is_without_a_gradient_and_nothing_leaks(norm: Norm):
    tips = {"learn_inner_lr": True, "multi_step_epochs": 2, "first_order_epochs": 1, "per_step_norm": True}
    card = audit(plus_plus(norm=norm, **tips), image_splits())
    assert card.order == 2
    assert finding(card, "derivative order").verdict == finding(card, "gradients").verdict == "ok"
    assert card.passed


def test_without_annealing_one_phase_is_told():
    assert finding(audit(plus_plus(), image_splits()), "derivative order").finding.startswith("2, measured (")


@pytest.mark.parametrize("order", [1, 2])
def test_a_multi_step_loss_of_other_weights_than_told_is_wrong_at_the_start_and_named(order: int):
    """S = 3, E = 10: a third each is told, and 1/3 − 1/30 twice and 1/3 + 2/30 taken."""
    card = audit(plus_plus(WeighsLikeTheNextEpoch, multi_step_epochs=10, order=order), image_splits())
    check = finding(card, "derivative order")
    assert check.finding.startswith("at the start: neither first nor second order: the gradient is wrong")
    assert f"; in the end: {order}, measured (" in check.finding
    assert (check.verdict, faults(card), card.passed) == ("wrong", ["derivative order"], False)


def test_an_annealing_that_never_ends_is_wrong_in_the_end_and_named():
    card = audit(plus_plus(NeverLeavesFirstOrder, first_order_epochs=1), image_splits())
    check = finding(card, "derivative order")
    assert check.finding.startswith("at the start: 1, measured (")
    assert "; in the end: 1 measured, 2 claimed (" in check.finding
    assert (card.order, faults(card)) == (1, ["derivative order"])


@pytest.mark.parametrize(
    ("direction", "norm"), [("reptile", "transductive"), ("reptile", "per_step"), ("foml", "support"), ("foml", "none")]
)
def test_reptile_is_told_to_have_no_order_and_nothing_else_is_held_against_it(direction: str, norm: Norm):
    learner = learner_of(smooth_net(), Reptile(inner_batch=4, direction=direction), norm=norm)
    card = audit(learner, image_splits())
    check = finding(card, "derivative order")
    assert (card.order, check.verdict, card.passed) == (None, "note", True)
    assert check.finding.startswith("none: what this algorithm follows is no derivative of the query loss")
    assert finding(card, "support order").verdict == "note"  # it reads the set in mini-batches


def test_mini_batches_that_a_reversed_support_set_leaves_together_are_seen():
    """Six examples in batches of two: reversed, each pair stays a pair."""
    learner = learner_of(smooth_net(ways=3), Reptile(inner_batch=2, inner_steps=3), norm="none")
    card = audit(learner, image_splits(ways=3, shots=2, queries=2))
    assert finding(card, "support order").verdict == "note"


def test_a_parameter_without_a_gradient_is_named():
    card = audit(learner_of(HasUnused(), MAML(inner_lr=0.2)), image_splits())
    check = finding(card, "gradients")
    assert check.verdict == "note"
    assert "theta/unused" in check.finding
    assert "body" not in check.finding


def test_frozen_parameters_are_listed():
    net = smooth_net()
    net[0].weight.requires_grad_(False)
    assert (
        "frozen: 0.weight" in finding(audit(learner_of(net, MAML(inner_lr=0.2)), image_splits()), "gradients").finding
    )


@pytest.mark.parametrize("norm", NORMS)
def test_transduction_is_a_note_where_the_policy_says_so_and_absent_under_every_other(norm: str):
    check = finding(audit(honest(norm), image_splits()), "transduction")
    assert check.verdict == ("ok" if norm in OWN_QUERIES else "note")


@pytest.mark.parametrize("norm", NORMS)
def test_a_net_without_batch_norm_is_not_transductive_under_any_policy(norm: str):
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 4), nn.Tanh(), nn.Linear(4, 3))
    assert (
        finding(audit(learner_of(net, MAML(inner_lr=0.2), norm=norm), image_splits()), "transduction").verdict == "ok"
    )


@pytest.mark.parametrize("norm", NORMS)
def test_a_layer_of_ones_own_that_is_transductive_is_a_leak_where_nothing_declares_it(norm: str):
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 4), CentersTheBatch(), nn.Tanh(), nn.Linear(4, 3))
    card = audit(learner_of(net, MAML(inner_lr=0.2), norm=norm), image_splits())
    assert faults(card) == ["transduction"]
    assert "depend on the other queries" in finding(card, "transduction").finding
    assert not card.passed


def test_adaptation_to_query_labels_is_a_leak():
    card = audit(learner_of(smooth_net(), PeeksAtQueryLabels(inner_lr=0.2)), image_splits())
    assert "query labels" in faults(card)
    assert finding(card, "query labels").verdict == "leak"
    assert not card.passed


def test_adaptation_to_query_labels_is_a_leak_whatever_the_seed_also_with_two_labels():
    """A random permutation of two labels is every second time none."""
    learner = learner_of(smooth_net(ways=2), PeeksAtQueryLabels(inner_lr=0.2))
    splits = image_splits(ways=2, shots=1, queries=1)
    missed = [seed for seed in range(12) if finding(audit(learner, splits, seed=seed), "query labels").verdict == "ok"]
    assert missed == []


def test_queries_that_are_copies_of_support_images_are_counted():
    """One a task, four tasks."""
    splits = image_splits()
    card = audit(honest(), splits._replace(train=CopiesSupportIntoQuery(splits.train)))
    assert faults(card) == ["copies"]
    assert finding(card, "copies").finding.startswith("4 queries of 4 tasks")
    assert not card.passed


def test_dependence_on_the_order_of_the_support_set_is_named():
    card = audit(learner_of(smooth_net(), LearnsFromTheFirstExamples(inner_lr=0.2), norm="support"), image_splits())
    check = finding(card, "support order")
    assert check.verdict == "note"
    assert "order of the support set" in check.finding
    assert finding(audit(honest(), image_splits()), "support order").verdict == "ok"


def test_a_class_in_two_splits_is_a_leak_and_named():
    card = audit(honest(), splits_of(classes("a", "b", "c"), classes("d", "e", "f"), classes("g", "c", "h")))
    assert faults(card) == ["splits"]
    assert "train and test share 1, 'c'" in finding(card, "splits").finding
    assert not card.passed


def test_a_rotation_of_a_training_class_in_another_split_is_a_leak():
    turned = classes("c", "g", "h", quarter_turns=1)
    card = audit(honest(), splits_of(classes("a", "b", "c"), classes("d", "e", "f"), turned))
    assert faults(card) == ["splits"]


def test_an_overlap_that_the_protocol_declares_is_a_note():
    train, val, test = classes("a", "b", "c"), classes("c", "d", "e", quarter_turns=1), classes("f", "g", "h")
    declared = audit(honest(), splits_of(train, val, test, overlap="rotations straddle train and val"))
    assert finding(declared, "splits").verdict == "note"
    assert "rotations straddle" in finding(declared, "splits").finding
    assert declared.passed
    assert not audit(honest(), splits_of(train, val, test)).passed


def test_a_declared_overlap_of_train_and_val_does_not_excuse_the_test_split():
    train, val, test = classes("a", "b", "c"), classes("c", "d", "e"), classes("a", "g", "h")
    card = audit(honest(), splits_of(train, val, test, overlap="rotations straddle train and val"))
    assert finding(card, "splits").verdict == "leak"
    assert not card.passed


def test_the_audit_changes_nothing_in_the_learner_nor_in_the_random_numbers():
    learner = honest("transductive", learn_inner_lr=True)
    with leaving_as_it_was(learner):
        audit(learner, image_splits())


def test_a_card_says_the_same_after_a_round_trip_and_prints_a_line_a_check():
    card = audit(honest(), image_splits())
    assert Card.from_json(card.as_json()) == card
    assert len(str(card).splitlines()) == len(card.checks)
    assert audit(honest(), image_splits()) == card
