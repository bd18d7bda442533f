import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from builders import (
    NORMS,
    OWN_QUERIES,
    InDouble,
    assert_unchanged,
    image_splits,
    plain_adapt,
    plain_net,
    plain_outputs,
    seed,
    smooth_net,
    smooth_task,
    snapshot,
)
from fewstep.adapted import adapt
from fewstep.algorithms.maml import MAML
from fewstep.evaluation import Evaluation, evaluate
from fewstep.learner import learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.nets import norm as norms
from fewstep.training import Training, outer_optimizer, updates

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LAYERS = {
    "1d": (nn.BatchNorm1d(3), (6, 3)),
    "1d-sequence": (nn.BatchNorm1d(3), (4, 3, 5)),
    "2d": (nn.BatchNorm2d(3), (4, 3, 2, 2)),
    "3d": (nn.BatchNorm3d(3), (4, 3, 2, 2, 2)),
    "not affine": (nn.BatchNorm2d(3, affine=False), (4, 3, 2, 2)),
    "not tracking": (nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 2, 2)),
    "large eps": (nn.BatchNorm2d(3, eps=0.5), (4, 3, 2, 2)),
}
every_layer = pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS)


def drawn(layer: nn.Module, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """The layer in float64 with random weights, and a batch for it."""
    generator, layer = seed(0), copy.deepcopy(layer).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    return layer, 3 + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("norm", OWN_QUERIES)
def test_tested_queries_one_by_one_equal_queries_together_in_every_policy_but_transductive(norm: str):
    task = smooth_task(queries=4)
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=2), norm=norm).for_evaluation()
    phi = learner.adapt(task.support)
    alone = torch.cat([learner.predict(phi, x[None]) for x in task.query.x])
    torch.testing.assert_close(alone, learner.predict(phi, task.query.x), **EXACT)


def test_under_transductive_queries_one_by_one_differ_from_queries_together():
    task = smooth_task(queries=4)
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=2), norm="transductive")
    phi = learner.adapt(task.support)
    alone = torch.cat([learner.predict(phi, x[None]) for x in task.query.x])
    assert (alone - learner.predict(phi, task.query.x)).abs().max() > 1e-2


@pytest.mark.parametrize("norm", NORMS)
def test_a_policy_predicts_what_torch_predicts_with_the_norm_and_the_statistics_that_it_names(norm: str):
    task = smooth_task()
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=2), norm=norm)
    found = learner.predict(learner.adapt(task.support), task.query.x)
    adapted = plain_adapt(plain_net(smooth_net(), norm), task.support, steps=2, lr=0.2)
    torch.testing.assert_close(found, plain_outputs(adapted, task.support, task.query.x, norm), rtol=1e-10, atol=1e-10)


def test_statistics_of_the_support_set_live_under_the_users_names_with_biased_variance():
    net, task = smooth_net(), smooth_task()
    phi = learner_of(net, MAML(inner_lr=0.2, inner_steps=2), norm="support").adapt(task.support)
    assert set(phi) == {*dict(net.named_parameters()), "1.running_mean", "1.running_var"}
    features = plain_adapt(net, task.support, steps=2, lr=0.2)[0](task.support.x)  # [N, C, H, W]
    mean = features.sum((0, 2, 3)) / features[:, 0].numel()
    square = (features - mean.view(1, -1, 1, 1)) ** 2
    torch.testing.assert_close(phi["1.running_mean"], mean, **EXACT)
    torch.testing.assert_close(phi["1.running_var"], square.sum((0, 2, 3)) / features[:, 0].numel(), **EXACT)


@pytest.mark.parametrize("norm", ["transductive", "group", "layer", "none"])
def test_a_policy_without_statistics_keeps_none(norm: str):
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2), norm=norm)
    assert learner.meta.state == {}
    assert set(learner.for_evaluation().adapt(smooth_task().support)) == set(dict(smooth_net().named_parameters()))


@every_layer
def test_observing_a_batch_norm_gives_what_its_training_mode_gives(layer: nn.Module, shape: tuple[int, ...]):
    layer, x = drawn(layer, shape)
    torch.testing.assert_close(norms.observing(layer)(x), layer.train()(x), **EXACT)


@every_layer
def test_given_statistics_give_what_the_evaluation_mode_of_torch_gives(layer: nn.Module, shape: tuple[int, ...]):
    layer, x = drawn(layer, shape)
    mean, var = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.5, 1.0, 4.0]).double()
    expected = nn.functional.batch_norm(x, mean, var, layer.weight, layer.bias, eps=layer.eps)
    given = norms.on_given_statistics(layer)
    found = functional_call(given, {"running_mean": mean, "running_var": var}, (x,))
    torch.testing.assert_close(found, expected, **EXACT)


@every_layer
def test_batch_statistics_give_what_the_training_mode_gives_in_either_mode(layer: nn.Module, shape: tuple[int, ...]):
    layer, x = drawn(layer, shape)
    replaced = norms.on_batch_statistics(layer)
    expected = layer.train()(x)
    torch.testing.assert_close(replaced.train()(x), expected, **EXACT)
    torch.testing.assert_close(replaced.eval()(x), expected, **EXACT)


@pytest.mark.parametrize(
    ("channels", "groups"), [(3, 1), (16, 1), (31, 1), (32, 2), (33, 1), (40, 2), (48, 3), (64, 4), (128, 8)]
)
def test_group_norm_has_sixteen_channels_a_group_or_as_many_groups_as_divide_them(channels: int, groups: int):
    layer, x = drawn(nn.BatchNorm2d(channels, eps=0.1), (4, channels, 2, 2))
    expected = nn.functional.group_norm(x, groups, layer.weight, layer.bias, eps=0.1)
    torch.testing.assert_close(norms.without_batch(layer, "group")(x), expected, **EXACT)


@every_layer
def test_layer_norm_is_a_group_norm_of_one_group_and_none_is_scale_and_shift(layer: nn.Module, shape: tuple[int, ...]):
    layer, x = drawn(layer, shape)
    grouped = nn.functional.group_norm(x, 1, layer.weight, layer.bias, eps=layer.eps)
    torch.testing.assert_close(norms.without_batch(layer, "layer")(x), grouped, **EXACT)
    along = (3, *[1] * (x.dim() - 2))
    shifted = x * layer.weight.view(along) + layer.bias.view(along) if layer.affine else x
    torch.testing.assert_close(norms.without_batch(layer, "none")(x), shifted, **EXACT)


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
def test_replaced_norms_keep_the_users_names_and_learned_values(norm: str):
    net = smooth_net()
    nn.init.normal_(net[1].weight, generator=seed(0))
    replaced = norms.without_batch(net, norm)
    theta = learner_of(net, MAML(inner_lr=0.2), norm=norm).meta.learned["theta"]
    for named in (dict(replaced.named_parameters()), theta):
        torch.testing.assert_close({**named}, dict(net.named_parameters()), rtol=0, atol=0)
    assert not norms.has_batch_norm(replaced)
    assert norms.norm_parameters(replaced) == norms.norm_parameters(net) == ("1.weight", "1.bias")


def test_the_gradient_flows_through_given_statistics():
    layer, x = drawn(nn.BatchNorm2d(3), (4, 3, 2, 2))
    given = norms.on_given_statistics(layer)

    def normalised(mean: Tensor, var: Tensor) -> Tensor:
        return functional_call(given, {"running_mean": mean, "running_var": var}, (x,))

    statistics = (torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.5, 1.0, 4.0]).double())
    assert torch.autograd.gradcheck(normalised, tuple(value.requires_grad_() for value in statistics))


def test_the_gradient_flows_from_the_statistics_to_the_parameters_before_them():
    """The convolution's weight acts on a query through the query's features and through the support's statistics."""
    task = smooth_task()
    model = learner_of(smooth_net(), MAML(inner_lr=0.2), norm="support").model
    parameters = model.parameters()

    def statistics(weight: Tensor) -> tuple[Tensor, Tensor]:
        settled = model.settle({**parameters, "0.weight": weight}, task.support.x, {}, 0)
        return settled["1.running_mean"], settled["1.running_var"]

    assert torch.autograd.gradcheck(statistics, (parameters["0.weight"].requires_grad_(),))


def test_statistics_are_taken_out_of_the_net_so_that_no_task_leaks_into_the_next():
    net = norms.observing(smooth_net())
    net(smooth_task().support.x)
    assert set(norms.take_observed(net)) == {"1.running_mean", "1.running_var"}
    assert net[1].seen == ()


def test_under_support_queries_are_their_own_also_where_a_net_uses_one_batch_norm_twice():
    shared, task = nn.BatchNorm1d(3), smooth_task(queries=4)
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 3), shared, nn.Tanh(), nn.Linear(3, 3), shared).double()
    learner = learner_of(net, MAML(inner_lr=0.2), norm="support")
    phi = learner.adapt(task.support)
    alone = torch.cat([learner.predict(phi, x[None]) for x in task.query.x])
    torch.testing.assert_close(alone, learner.predict(phi, task.query.x), **EXACT)


@pytest.mark.parametrize("norm", NORMS)
def test_the_users_net_is_as_it_was_after_training_evaluation_and_adaptation(norm: str):
    net, splits = smooth_net().float(), image_splits()
    net.eval()
    before = snapshot(net)
    learner = learner_of(net, MAML(inner_lr=0.2), norm=norm)
    training = Training(updates=2, meta_batch=2)
    with Workers(learner.model, Mapping()) as workers:
        for _ in updates(learner, splits.train, training, outer_optimizer(learner.meta, training), workers):
            pass
    evaluate(learner, splits.test, Evaluation(tasks=2))
    adapt(learner, splits.test.sample(0, "test", 0, 1).select(0).support)
    assert_unchanged(net, before)


@pytest.mark.parametrize("norm", OWN_QUERIES)
def test_the_exported_net_predicts_like_the_learner_each_query_by_itself(norm: str):
    task = InDouble(image_splits().test).sample(0, "test", 0, 1).select(0)
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=2), norm=norm)
    net, tested = adapt(learner, task.support), learner.for_evaluation()
    assert dict(net.named_parameters()).keys() == dict(smooth_net().named_parameters()).keys()
    assert not net.training
    expected = tested.predict(tested.adapt(task.support), task.query.x)
    torch.testing.assert_close(net(task.query.x), expected, **EXACT)
    torch.testing.assert_close(net(task.query.x[:1]), expected[:1], **EXACT)


@pytest.mark.parametrize("norm", ["transductive", "support", "running", "per_step"])
def test_the_exported_net_is_of_the_users_own_layers_where_batch_norms_stay(norm: str):
    net = adapt(learner_of(smooth_net(), MAML(inner_lr=0.2), norm=norm), smooth_task().support)
    assert [type(layer) for layer in net] == [type(layer) for layer in smooth_net()]
    assert net.state_dict().keys() == smooth_net().state_dict().keys()


@pytest.mark.parametrize("norm", NORMS)
def test_a_net_whose_batch_norms_track_nothing_is_exported_in_its_own_precision(norm: str):
    task, net = smooth_task(), smooth_net()
    net[1] = nn.BatchNorm2d(3, track_running_stats=False).double()
    learner = learner_of(net, MAML(inner_lr=0.2), norm=norm)
    tested = learner_of(net, MAML(inner_lr=0.2), norm="support" if norm == "transductive" else norm).for_evaluation()
    expected = tested.predict(tested.adapt(task.support), task.query.x)
    torch.testing.assert_close(adapt(learner, task.support)(task.query.x), expected, **EXACT)


class HasUnusedNorm(nn.Module):
    """`smooth_net` beside a batch norm that its forward leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused = smooth_net(), nn.BatchNorm2d(3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("norm", NORMS)
def test_a_batch_norm_that_forward_leaves_out_changes_nothing(norm: str):
    task = smooth_task(queries=4)
    with_unused, without = (learner_of(net, MAML(inner_lr=0.2), norm=norm) for net in (HasUnusedNorm(), smooth_net()))
    found, expected = (learner.predict(learner.adapt(task.support), task.query.x) for learner in (with_unused, without))
    torch.testing.assert_close(found, expected, **EXACT)
    exported, plain = adapt(with_unused, task.support), adapt(without, task.support)
    torch.testing.assert_close(exported(task.query.x), plain(task.query.x), **EXACT)
    unused, as_built = exported.unused.state_dict(), HasUnusedNorm().unused.state_dict()
    torch.testing.assert_close(unused, {name: as_built[name] for name in unused}, **EXACT)


@pytest.mark.parametrize("norm", NORMS)
def test_a_net_with_a_batch_norm_that_forward_leaves_out_trains_and_is_scored(norm: str):
    learner, splits = learner_of(HasUnusedNorm().float(), MAML(inner_lr=0.1), norm=norm).to("cpu"), image_splits()
    settings = Training(updates=2, meta_batch=2)
    with Workers(learner.model, Mapping(chunk=2)) as workers:
        assert (
            len(list(updates(learner, splits.train, settings, outer_optimizer(learner.meta, settings), workers))) == 2
        )
    assert evaluate(learner, splits.test, Evaluation(tasks=2, steps=1)).tasks == 2
