"""The audit of code that is not ours: each bug planted is named, and what is right passes."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import fewstep
from builders import image_splits
from fewstep.card import Card, Check
from fewstep.core import Examples, Task
from fewstep.foreign.learner import Foreign
from fewstep.seeding import seeded
from fewstep.tasks.splits import Splits

RATE = 0.2


def plain_net(*, norm: bool = False, inputs: int = 25, ways: int = 3) -> nn.Sequential:
    with seeded(0, "net"):
        middle = [nn.BatchNorm1d(8)] if norm else []
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), *middle, nn.Tanh(), nn.Linear(8, ways))


def descend(
    net: nn.Module, support: Examples, *, steps: int = 2, create_graph: bool = True, rate: float | Tensor = RATE
) -> dict[str, Tensor]:
    """MAML's inner loop as everybody writes it."""
    fast = dict(net.named_parameters())
    for _ in range(steps):
        loss = F.cross_entropy(functional_call(net, fast, support.x), support.y)
        gradients = torch.autograd.grad(loss, list(fast.values()), create_graph=create_graph)
        fast = {name: value - rate * g for (name, value), g in zip(fast.items(), gradients, strict=True)}
    return fast


def by_hand(net: nn.Module | None = None, **options: Any) -> Foreign:
    """A MAML written by hand; `options` of its inner loop and of `Foreign`."""
    net = net or plain_net()
    inner = {name: options.pop(name) for name in ("steps", "create_graph", "rate") if name in options}
    given = {
        "adapt": functools.partial(descend, net, **inner),
        "predict": functools.partial(functional_call, net),
        "parameters": net,
    }
    return Foreign(**{**given, **options})


class LikeLearn2Learn(nn.Module):
    """`clone()`, `adapt(loss)` and a call, as learn2learn's MAML: adapted tensors take the places of a clone's own."""

    def __init__(self, module: nn.Module, lr: float, first_order: bool = False) -> None:
        super().__init__()
        self.module, self.lr, self.first_order = module, lr, first_order

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)

    def clone(self) -> "LikeLearn2Learn":
        return LikeLearn2Learn(_cloned(self.module), self.lr, self.first_order)

    def adapt(self, loss: Tensor) -> None:
        places = [(layer, name) for layer in self.module.modules() for name in layer._parameters]
        now = [layer._parameters[name] for layer, name in places]
        gradients = torch.autograd.grad(loss, now, create_graph=not self.first_order)
        for (layer, name), value, gradient in zip(places, now, gradients, strict=True):
            layer._parameters[name] = value - self.lr * gradient


def _cloned(module: nn.Module) -> nn.Module:
    copy = module.__new__(type(module))
    copy.__dict__ = dict(module.__dict__)
    copy._parameters = {name: value.clone() for name, value in module._parameters.items()}
    copy._modules = {name: _cloned(child) for name, child in module._modules.items()}
    return copy


def learn2learn_like(**options: Any) -> Foreign:
    maml = LikeLearn2Learn(plain_net(), RATE, **options)

    def adapt(support: Examples) -> LikeLearn2Learn:
        learner = maml.clone()
        for _ in range(2):
            learner.adapt(F.cross_entropy(learner(support.x), support.y))
        return learner

    return Foreign(adapt=adapt, predict=lambda learner, x: learner(x), parameters=maml)


def audited(foreign: Foreign, splits: Splits | Callable[[], Any] | None = None) -> Card:
    return fewstep.audit(foreign, splits or image_splits())


def check(card: Card, name: str) -> Check:
    (found,) = [one for one in card.checks if one.name == name]
    return found


def faults(card: Card) -> set[str]:
    return {one.name for one in card.checks if one.verdict in ("wrong", "leak")}


# What is right passes


@pytest.mark.parametrize("foreign", [by_hand, learn2learn_like])
def test_a_correct_second_order_maml_is_measured_as_such_and_passes(foreign):
    card = audited(foreign())
    assert (card.order, card.passed) == (2, True)
    assert [one.name for one in card.checks] == [
        *("derivative order", "gradients", "transduction", "query labels", "support order", "state", "copies", "splits")
    ]
    assert {one.verdict for one in card.checks} == {"ok"}
    assert str(card).startswith("OK     derivative order  2, measured (error against finite differences: second order")


def test_first_order_that_is_meant_passes_and_a_backward_of_ones_own_is_what_is_measured():
    """The query gradient at φ put into `.grad` by hand, as first-order code does."""
    net = plain_net()

    def backward(task: Task) -> Tensor:
        fast = {name: value.detach().requires_grad_() for name, value in descend(net, task.support).items()}
        logits = functional_call(net, fast, task.query.x)
        gradients = torch.autograd.grad(F.cross_entropy(logits, task.query.y), list(fast.values()))
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter.grad = gradient
        return logits

    card = audited(by_hand(net, backward=backward, order=1))
    assert (card.order, card.passed) == (1, True)
    assert check(card, "query labels").finding == "permuting them changes no prediction"
    assert check(audited(by_hand(net, backward=backward)), "derivative order").finding.startswith(
        "1 measured, 2 claimed"
    )


def test_learned_rates_beside_a_module_are_measured_with_it():
    net, rate = plain_net(), torch.tensor(RATE, requires_grad=True)
    card = audited(by_hand(net, rate=rate, parameters={"net": net, "rate": rate}))
    assert (card.order, card.passed) == (2, True)


def test_a_regression_is_measured_by_its_squared_error():
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def adapt(support: Examples) -> list[Tensor]:
        loss = F.mse_loss(net(support.x), support.y)
        gradients = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
        return [value - 0.01 * gradient for value, gradient in zip(net.parameters(), gradients, strict=True)]

    def predict(fast: list[Tensor], x: Tensor) -> Tensor:
        return F.linear(torch.tanh(F.linear(x, fast[0], fast[1])), fast[2], fast[3])

    card = audited(Foreign(adapt=adapt, predict=predict, parameters=net), fewstep.Sinusoid().build())
    assert (card.order, card.passed) == (2, True)


def test_code_that_shows_no_adapted_tensors_is_measured_against_the_true_loss_alone():
    net = plain_net()

    def hidden(create_graph: bool) -> Foreign:
        def adapt(support: Examples) -> Callable[[Tensor], Tensor]:
            return functools.partial(functional_call, net, descend(net, support, create_graph=create_graph))

        return Foreign(adapt=adapt, predict=lambda function, x: function(x), parameters=net)

    assert (audited(hidden(True)).order, audited(hidden(True)).passed) == (2, True)
    wrong = check(audited(hidden(False)), "derivative order")
    assert wrong.verdict == "wrong"
    assert wrong.finding.startswith("not 2: first order or wrong cannot be told, for adapt returns neither a module")


def test_code_that_follows_no_derivative_says_so_and_nothing_is_held_against_it():
    net = plain_net()

    def backward(task: Task) -> None:
        for parameter, adapted in zip(net.parameters(), descend(net, task.support).values(), strict=True):
            parameter.grad = (parameter - adapted).detach()

    card = audited(by_hand(net, backward=backward, order=None))
    assert (card.order, card.passed, check(card, "derivative order").verdict) == (None, True, "note")
    assert check(card, "query labels").finding.startswith("not measured: backward does not return")


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_is_measured_right_through_relu_and_max_pool_and_biases_before_batch_norms(order: int):
    """Kinks spoil some differences, not the median over tasks; the biases' derivatives are rounding."""
    with seeded(0, "net"):
        net = fewstep.Conv4(filters=4).build((1, 16, 16), 3)
    foreign = by_hand(net, steps=3, create_graph=order == 2, order=order, transductive=True)
    card = audited(foreign, image_splits(size=16))
    assert (card.order, card.passed) == (order, True)


# Each bug is named


def test_a_forgotten_create_graph_is_first_order():
    for foreign in (by_hand(create_graph=False), learn2learn_like(first_order=True)):
        card = audited(foreign)
        assert (card.order, faults(card)) == (1, {"derivative order"})
        assert "1 measured, 2 claimed" in check(card, "derivative order").finding


def test_detached_rates_are_named():
    net, rate = plain_net(), torch.tensor(RATE, requires_grad=True)

    def adapt(support: Examples) -> dict[str, Tensor]:
        return descend(net, support, rate=rate.detach())

    card = audited(by_hand(net, adapt=adapt, parameters={"net": net, "rate": rate}))
    assert (card.order, faults(card)) == (2, {"gradients"})
    assert check(card, "gradients").finding.startswith("None for rate: cut off from the loss, which depends on them")


def test_rates_with_a_wrong_gradient_are_named():
    net, rate = plain_net(), torch.tensor(RATE, requires_grad=True)

    def adapt(support: Examples) -> dict[str, Tensor]:
        return descend(net, support, rate=2 * rate - rate.detach())  # twice its gradient

    card = audited(by_hand(net, adapt=adapt, parameters=[net, rate]))
    assert faults(card) == {"derivative order"}
    assert "the gradient of 1 is wrong" in check(card, "derivative order").finding


def test_a_gradient_of_another_length_is_of_neither_order():
    net = plain_net()

    def backward(task: Task) -> None:
        (
            1.05 * F.cross_entropy(functional_call(net, descend(net, task.support), task.query.x), task.query.y)
        ).backward()

    card = audited(by_hand(net, backward=backward))
    assert (card.order, faults(card)) == (None, {"derivative order"})
    assert "neither first nor second order: the gradient is wrong" in check(card, "derivative order").finding


def test_gradients_that_are_all_none_are_named():
    net = plain_net()

    def adapt(support: Examples) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in descend(net, support).items()}

    card = audited(by_hand(net, adapt=adapt))
    assert faults(card) == {"derivative order", "gradients"}
    assert check(card, "derivative order").finding == "none: the backward pass leaves no gradient anywhere"
    assert check(card, "gradients").finding.startswith("None for 1.weight, 1.bias, 3.weight, 3.bias: cut off")


class CutsOff(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = plain_net(), nn.Linear(3, 3)
        self.bias, self.unused = nn.Parameter(torch.full((3,), 0.1)), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x) + self.bias.detach()))


def adapting_the_head(net: nn.Module, *, create_graph: bool = True) -> Callable[[Examples], dict[str, Tensor]]:
    def adapt(support: Examples) -> dict[str, Tensor]:
        head = {name: value for name, value in net.named_parameters() if name.startswith("head.")}
        loss = F.cross_entropy(functional_call(net, head, support.x), support.y)
        gradients = torch.autograd.grad(loss, list(head.values()), create_graph=create_graph)
        return {name: value - RATE * g for (name, value), g in zip(head.items(), gradients, strict=True)}

    return adapt


def test_a_parameter_that_is_cut_off_is_told_from_one_that_is_unused():
    net = CutsOff()
    card = audited(by_hand(net, adapt=adapting_the_head(net)))
    assert (card.order, faults(card)) == (2, {"gradients"})
    cut, unused = check(card, "gradients").finding.split("; ")
    assert cut.startswith("None for bias: cut off")
    assert unused == "None for unused: unused"


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_is_measured_right_where_the_head_alone_is_adapted(order: int):
    """The body is read by `predict` as it is, and is no part of what `adapt` returns."""
    net = CutsOff()
    card = audited(by_hand(net, adapt=adapting_the_head(net, create_graph=order == 2), order=order))
    assert (card.order, check(card, "derivative order").verdict) == (order, "ok")


def normed(**options: Any) -> Foreign:
    net = plain_net(norm=True)
    return by_hand(net, **options)


def test_batch_norm_in_training_mode_at_test_is_a_leak_unless_it_is_declared():
    card = audited(normed())
    assert (card.order, faults(card)) == (2, {"transduction"})
    assert "as under batch norm in training mode" in check(card, "transduction").finding
    declared = audited(normed(transductive=True))
    assert (declared.passed, check(declared, "transduction").verdict) == (True, "note")
    assert check(declared, "state").finding.startswith("buffers change, as running statistics do")


def test_queries_in_evaluation_mode_are_their_own():
    net = plain_net(norm=True)

    def predict(fast: dict[str, Tensor], x: Tensor) -> Tensor:
        net.eval()
        return functional_call(net, fast, x)

    def adapt(support: Examples) -> dict[str, Tensor]:
        net.eval()
        return descend(net, support)

    card = audited(by_hand(net, adapt=adapt, predict=predict))
    assert (card.order, card.passed, net.training) == (2, True, True)


def test_adaptation_to_query_labels_is_a_leak():
    net = plain_net()

    def backward(task: Task) -> Tensor:
        both = Examples(torch.cat([task.support.x, task.query.x]), torch.cat([task.support.y, task.query.y]))
        logits = functional_call(net, descend(net, both), task.query.x)
        F.cross_entropy(logits, task.query.y).backward()
        return logits

    card = audited(by_hand(net, backward=backward))
    assert faults(card) == {"derivative order", "query labels"}
    assert "depend on the query labels" in check(card, "query labels").finding


def test_adaptation_that_changes_the_parameters_it_was_given_is_named():
    net = plain_net()

    def adapt(support: Examples) -> None:
        gradients = torch.autograd.grad(F.cross_entropy(net(support.x), support.y), list(net.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter -= RATE * gradient

    card = audited(Foreign(adapt=adapt, predict=lambda _, x: net(x), parameters=net))
    assert (card.order, faults(card)) == (1, {"derivative order", "state"})
    assert check(card, "state").finding == (
        "adapting changes the parameters it was given: 1.weight, 1.bias, 3.weight, 3.bias"
    )


def test_adaptation_that_puts_other_tensors_in_the_places_of_parameters_is_named():
    net = plain_net()
    weight = net[3].weight

    def adapt(support: Examples) -> None:
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(support.x), support.y), net[3].weight)
        net[3].weight = nn.Parameter(net[3].weight.detach() - RATE * gradient)

    card = audited(Foreign(adapt=adapt, predict=lambda _, x: net(x), parameters=net))
    assert check(card, "state").finding == "adapting changes the parameters it was given: 3.weight"
    assert net[3].weight is weight


def test_state_that_is_left_behind_between_tasks_is_named_and_nothing_else_is_measured():
    """A velocity that goes on from task to task."""
    net, velocity = plain_net(), {}

    def adapt(support: Examples) -> dict[str, Tensor]:
        step = {name: net.get_parameter(name) - value for name, value in descend(net, support).items()}
        for name, value in step.items():
            velocity[name] = 0.9 * velocity.get(name, torch.zeros(())) + value.detach()
        return {name: net.get_parameter(name) - velocity[name] for name in step}

    card = audited(by_hand(net, adapt=adapt))
    assert (card.order, faults(card)) == (None, {"state"})
    assert "when another task has been adapted to in between" in check(card, "state").finding
    assert check(card, "derivative order").finding.startswith("not measured")


def test_dependence_on_the_order_of_the_support_set_and_copies_are_named():
    net = plain_net()
    source = image_splits().train

    def copying() -> tuple[Examples, Examples]:
        task = source.sample(int(torch.randint(1000, ())), "train", 0, 1).select(0)
        task.query.x[0] = task.support.x[1]
        return task.support, task.query

    def adapt(support: Examples) -> dict[str, Tensor]:
        return descend(net, Examples(support.x[:3], support.y[:3]))

    card = audited(by_hand(net, adapt=adapt), copying)
    assert faults(card) == {"copies"}
    assert check(card, "copies").finding.startswith("4 queries of 4 tasks")
    assert check(card, "support order").verdict == "note"
    assert check(card, "splits").finding.startswith("not checked")


def test_a_class_in_two_splits_is_a_leak():
    splits = image_splits()
    assert faults(audited(by_hand(), splits._replace(test=splits.train))) == {"splits"}


# How it is used


def test_the_code_is_put_back_as_it_was():
    net = plain_net(norm=True)
    tensors = [*net.parameters(), *net.buffers()]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    net[1].eval()
    before, modes = (
        [(tensor, tensor.data_ptr(), tensor.clone()) for tensor in tensors],
        [m.training for m in net.modules()],
    )
    random_numbers = torch.get_rng_state()
    audited(by_hand(net))
    assert list(map(id, [*net.parameters(), *net.buffers()])) == list(map(id, tensors))
    for tensor, pointer, value in before:
        assert (tensor.data_ptr(), tensor.dtype) == (pointer, value.dtype)
        assert torch.equal(tensor, value)
    assert all(torch.equal(parameter.grad, torch.ones_like(parameter)) for parameter in net.parameters())
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert torch.get_default_dtype() == torch.float32


def test_the_audit_says_the_same_twice_also_of_a_net_with_dropout():
    net = nn.Sequential(*plain_net()[:3], nn.Dropout(), plain_net()[3])
    cards = [audited(by_hand(net)) for _ in range(2)]
    assert cards[0] == cards[1]
    assert (cards[0].order, check(cards[0], "state").verdict) == (2, "ok")


def test_a_function_of_plain_pairs_makes_tasks():
    def noise() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        return tuple((torch.randn(6, 25), torch.arange(6) % 3) for _ in range(2))

    card = audited(by_hand(), noise)
    assert (card.order, card.passed) == (2, True)


def test_without_tasks_those_of_the_embedded_alphabets_are_taken():
    card = fewstep.audit(by_hand(plain_net(inputs=784, ways=5)))
    assert (card.order, card.passed) == (2, True)
    assert "tasks of the embedded alphabets" in check(card, "splits").finding


def test_code_that_does_not_run_in_float64_leaves_one_note():
    net = plain_net()
    card = audited(by_hand(net, predict=lambda fast, x: functional_call(net, fast, x.float())))
    assert (card.order, card.passed) == (None, True)
    assert check(card, "derivative order").finding.startswith("not measured, the code fails in float64: ")
    assert check(card, "copies").verdict == "ok"


def test_an_error_of_the_code_itself_comes_through():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        audited(by_hand(plain_net(inputs=26)))


def test_what_makes_no_sense_is_refused():
    net = plain_net()
    with pytest.raises(ValueError, match="parameters holds no tensor that requires a gradient"):
        by_hand(parameters=torch.ones(3))
    with pytest.raises(ValueError, match="parameters is a generator, which can be read once"):
        by_hand(parameters=net.parameters())
    with pytest.raises(ValueError, match=r"predict returned the shape \[3, 6\] for 6 queries, expected \[6, ways\]"):
        audited(by_hand(predict=lambda fast, x: functional_call(net, fast, x).T))
    with pytest.raises(ValueError, match="tasks is a int, expected built splits or a function"):
        fewstep.audit(by_hand(), 3)
    with pytest.raises(ValueError, match="tasks is a NoneType, expected train, val and test tasks"):
        fewstep.audit(fewstep.learner_of(net, fewstep.MAML(inner_lr=0.1)))
