import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import NORMS, image_splits, smooth_net, smooth_task
from fewstep.algorithms.maml import MAML
from fewstep.core import Examples, Task
from fewstep.evaluation import Evaluation, evaluate
from fewstep.learner import Learner, learner_of
from fewstep.nets.conv4 import Conv4
from fewstep.tasks.sinusoid import Sinusoid


class UsersNet(nn.Module):
    """What a user might have: batch norm with running statistics, a name of their own for everything."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.classify = nn.Linear(8 * 9, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(F.relu(self.bn(self.features(image))).flatten(1))


def query_loss(learner: Learner, task: Task) -> Tensor:
    return F.cross_entropy(learner.predict(learner.adapt(task.support), task.query.x), task.query.y)


@pytest.mark.parametrize("learn_inner_lr", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("order", [1, 2])
def test_backward_through_adapt_gives_the_meta_gradient(order: int, norm: str, learn_inner_lr: bool):
    algorithm = MAML(inner_lr=0.2, inner_steps=2, order=order, learn_inner_lr=learn_inner_lr)
    learner, task = learner_of(smooth_net(), algorithm, norm=norm), smooth_task()
    expected = algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    loss = query_loss(learner, task)
    loss.backward()
    found = {group: {name: p.grad for name, p in params.items()} for group, params in learner.meta.learned.items()}
    torch.testing.assert_close(loss.detach(), expected.loss.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(found, expected.gradient, rtol=1e-10, atol=1e-12)


def test_the_outer_loss_may_be_any_function_of_the_predictions():
    """Twice the loss plus the loss of a second task has twice the gradient plus the other's."""
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2))
    a, b = (
        learner.algorithm.meta_gradient(learner.model, learner.meta, smooth_task(i), 0).gradient["theta"]
        for i in (0, 1)
    )
    (2 * query_loss(learner, smooth_task(0)) + query_loss(learner, smooth_task(1))).backward()
    found = {name: parameter.grad for name, parameter in learner.meta.learned["theta"].items()}
    torch.testing.assert_close(found, {name: 2 * a[name] + b[name] for name in a}, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm", ["transductive", "support", "running", "per_step"])
def test_a_loop_of_ones_own_trains_an_unmodified_net_with_batch_norm(norm: str):
    torch.manual_seed(0)
    learner = learner_of(UsersNet(), MAML(inner_lr=0.1), norm=norm)
    tasks = image_splits().train
    optimizer = torch.optim.Adam(learner.parameters(), lr=1e-2)
    losses = []
    for update in range(15):
        batch = tasks.sample(0, "train", update, 4)
        loss = torch.stack([query_loss(learner, batch.select(i)) for i in range(4)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])


def test_zero_steps_return_theta_and_the_default_is_the_steps_of_training():
    learner, task = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=2)), smooth_task()
    theta = learner.meta.learned["theta"]
    assert all(value is theta[name] for name, value in learner.adapt(task.support, steps=0).items())
    torch.testing.assert_close(learner.adapt(task.support), learner.adapt(task.support, steps=2), rtol=0, atol=0)


def test_images_that_numpy_has_filled_anew_are_read_anew():
    """Of which torch knows nothing: the tensor is the same, and its version is."""
    learner = learner_of(Conv4(filters=10).build((1, 16, 16), 3), MAML(inner_lr=0.2))
    rng, y = np.random.default_rng(0), torch.arange(3).repeat(2)
    buffer = rng.random((6, 1, 16, 16), np.float32)
    x = torch.from_numpy(buffer)
    learner.predict(learner.adapt(Examples(x, y)), x)
    buffer[:] = rng.random(buffer.shape) ** 3
    found, expected = (learner.predict(learner.adapt(Examples(images, y)), images) for images in (x, x.clone()))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_moving_a_learner_copies_it():
    learner = learner_of(smooth_net().float(), MAML(inner_lr=0.2, learn_inner_lr=True))
    moved = learner.to("cpu", torch.float64)
    assert {tensor.dtype for tensor in moved.parameters()} == {torch.float64}
    assert {tensor.dtype for tensor in learner.parameters()} == {torch.float32}
    same = learner.to("cpu")
    same.meta.learned["theta"]["0.weight"].zero_()
    assert learner.meta.learned["theta"]["0.weight"].any()


class DropsByFunction(nn.Module):
    """Draws random numbers without any layer that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(25, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.hidden(x.flatten(1)).tanh(), 0.5, self.training))


class CentersTheBatch(nn.Module):
    """Mixes the examples of a batch, and is no batch norm."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def test_a_net_that_is_seen_to_draw_is_stochastic_and_the_global_numbers_are_as_they_were():
    learner, task = learner_of(DropsByFunction().double(), MAML(inner_lr=0.1)), smooth_task()
    assert not learner.model.is_stochastic
    before = torch.get_rng_state()
    checked = learner.checked(task, 3).model
    assert torch.equal(torch.get_rng_state(), before)
    assert (checked.is_stochastic, checked.is_transductive) == (True, False)


@pytest.mark.parametrize("norm", NORMS)
def test_a_net_that_is_seen_to_mix_the_batch_is_transductive_and_its_result_says_so(norm: str):
    net = nn.Sequential(nn.Flatten(), CentersTheBatch(), nn.Linear(25, 3))
    tasks = image_splits().test
    learner = learner_of(net, MAML(inner_lr=0.1), norm=norm).checked(tasks.sample(0, "check", 0, 1).select(0), 3)
    assert (learner.model.is_transductive, learner.model.is_stochastic) == (True, False)
    assert "seed 0, transductive, 1 step" in str(evaluate(learner, tasks, Evaluation(tasks=2, steps=1)))


@pytest.mark.parametrize("norm", NORMS)
def test_a_net_that_neither_draws_nor_mixes_is_seen_as_what_it_is(norm: str):
    tasks = image_splits().test
    learner = learner_of(smooth_net().float(), MAML(inner_lr=0.1), norm=norm)
    model = learner.checked(tasks.sample(0, "check", 0, 1).select(0), 3).model
    assert (model.is_transductive, model.is_stochastic) == (norm == "transductive", False)


def logits_at_test(learner: Learner, task: Task) -> Tensor:
    tested = learner.for_evaluation()
    return tested.predict(tested.adapt(task.support), task.query.x)


@pytest.mark.parametrize("own", ["transductive", "support", "running", "per_step"])
def test_a_learner_under_another_policy_predicts_as_one_of_that_policy(own: str):
    algorithm, task = MAML(inner_lr=0.2, inner_steps=2), smooth_task()
    learner, seen = learner_of(smooth_net(), algorithm, norm=own), {}
    for norm in ("transductive", "support"):
        seen[norm] = logits_at_test(learner.under(norm), task)
        assert learner.under(norm).model.is_transductive == (norm == "transductive")
        torch.testing.assert_close(seen[norm], logits_at_test(learner_of(smooth_net(), algorithm, norm=norm), task))
    assert not torch.allclose(seen["transductive"], seen["support"])


@pytest.mark.parametrize("own", ["group", "layer", "none"])
def test_a_learner_without_batch_norms_has_no_other_policy(own: str):
    with pytest.raises(ValueError, match=f"the policy '{own}' of this learner has none left"):
        learner_of(smooth_net(), MAML(inner_lr=0.2), norm=own).under("transductive")


def test_a_loss_that_does_not_fit_the_targets_is_an_error_with_the_one_that_does():
    values, ids = Sinusoid().sample(0, "check", 0, 1).select(0), smooth_task()
    with pytest.raises(ValueError, match="targets of these tasks are values: set loss='mean_squared_error'"):
        learner_of(nn.Linear(1, 1), MAML(inner_lr=0.1)).checked(values, 1)
    with pytest.raises(ValueError, match="targets of these tasks are class ids: set loss='mean_cross_entropy'"):
        learner_of(smooth_net(), MAML(inner_lr=0.1), loss="mean_squared_error").checked(ids, 3)
