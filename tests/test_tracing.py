"""Functions traced once and run again, and mappings of which every update is."""

import shutil
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from builders import InDouble, seed, smooth_net, smooth_task, stacked
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.reptile import Reptile
from fewstep.autotune import _traced
from fewstep.core import Examples, Meta, MetaGradient, Task, tensors_of
from fewstep.learner import learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.model import Model
from fewstep.nets.conv4 import Conv4
from fewstep.nets.mlp import MLP
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tracing import traced
from fewstep.training import Training, meta_gradient, outer_optimizer, updates

TRACED = Mapping(chunk=4, execution="traced")
ALGORITHMS = {
    "MAML": MAML(inner_lr=0.2, inner_steps=2, learn_inner_lr=True),
    "first order": MAML(inner_lr=0.2, inner_steps=2, order=1),
    "recomputed": MAML(inner_lr=0.2, inner_steps=2, recompute=True),
    "MAML++": MAMLPlusPlus(inner_lr=0.2, inner_steps=2, learn_inner_lr=True, multi_step_epochs=2, per_step_norm=True),
    "Reptile": Reptile(inner_lr=0.2, inner_steps=3, inner_batch=2),
}


def tasks_of_images(number: int) -> Task:
    generator = seed(number)

    def examples(each: int) -> Examples:
        x = torch.rand(3, 3 * each, 1, 16, 16, generator=generator)
        return Examples(x, torch.arange(3).repeat(each).expand(3, -1))

    return Task(examples(2), examples(3))


def tasks(*numbers: int) -> Task:
    return stacked([smooth_task(number) for number in numbers])


@pytest.mark.parametrize("norm", ["transductive", "support", "per_step"])
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_traced_mean_equals_the_loop_on_tasks_it_was_not_traced_on(algorithm: Any, norm: str):
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    with Workers(learner.model, Mapping()) as loop, Workers(learner.model, TRACED) as again:
        meta_gradient(learner, tasks(0, 1, 2, 3), again, 0)
        with torch.no_grad():
            for value in learner.parameters():  # an update
                value += 0.05
        found, expected = (meta_gradient(learner, tasks(4, 5, 6, 7), workers, 0) for workers in (again, loop))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_traced_loop_equals_the_loop_to_the_last_bit(algorithm: Any, threads: int):
    """On a net whose convolutions and norms have derivatives of our own."""
    learner = learner_of(Conv4(filters=10).build((1, 16, 16), 3), algorithm)
    batches = [tasks_of_images(number) for number in range(3)]
    traces = Mapping(threads=threads, execution="traced")
    with Workers(learner.model, Mapping()) as loop, Workers(learner.model, traces) as again:
        for batch in batches:
            found, expected = (meta_gradient(learner, batch, workers, 0) for workers in (again, loop))
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
            with torch.no_grad():
                for value, step in zip(learner.parameters(), tensors_of(found[0].gradient), strict=True):
                    value -= step


READS_VALUES = {
    "a number": lambda x: x * 2 if x.mean() > 0 else x,
    "a whole": lambda x: x[: int(x.sum())],
    "equality": lambda x: x * torch.equal(x, x),
    "places": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "a list": lambda x: x * 2 if x.tolist()[0] > 0 else x,
    "numpy": lambda x: x * 2 if x.numpy()[0] > 0 else x,
    "numpy by itself": lambda x: x + torch.from_numpy(np.asarray(x) * 2),
}


@pytest.mark.parametrize("function", READS_VALUES.values(), ids=READS_VALUES)
def test_python_that_reads_values_is_not_traced(function: Any):
    with pytest.raises(ValueError, match="take 'eager'"):
        traced(function, torch.ones(3))


def test_random_numbers_of_a_generator_are_not_traced():
    """A run of the trace would go on with the numbers where Python begins anew."""
    with pytest.raises(ValueError, match="random numbers"):
        traced(lambda x: x + torch.rand(3, generator=seed(0)), torch.ones(3))


def test_what_is_captured_is_not_written_to():
    """The first run of a trace would count twice, and threads share what each would have for itself."""
    calls = torch.zeros(2)

    def counted(x: torch.Tensor) -> torch.Tensor:
        calls[:1].add_(1)
        return x * 2

    with pytest.raises(ValueError, match="a count of calls"):
        traced(counted, torch.ones(3))
    assert calls.tolist() == [0, 0]


def test_a_tensor_that_python_makes_begins_anew_in_every_run():
    def function(x: torch.Tensor) -> torch.Tensor:
        total = torch.tensor([1.0, 2.0])
        total += x
        return total

    again = traced(function, torch.ones(2))
    for _ in range(2):
        assert again(torch.tensor([5.0, 6.0])).tolist() == [6.0, 8.0]


def test_an_error_that_values_cause_is_raised_again():
    again = traced(lambda x: torch.linalg.solve(torch.diag(x), x), torch.ones(2))
    assert again(torch.tensor([5.0, 6.0])).tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="singular"):
        again(torch.tensor([5.0, 0.0]))


def written_through_views(x: torch.Tensor) -> torch.Tensor:
    """Each is another name of the same numbers, and is written to by that name."""
    y = torch.outer(x, x).clone()
    there = y.t()
    there[0] += 3
    back = there.t()
    back.mul_(2)
    same = back.expand_as(back).view(2, 2).detach()
    same[:, 1] -= x
    return y + there + back + same


@pytest.mark.parametrize("knows", [True, False], ids=["this torch", "torch 2.4"])
def test_writes_through_views_are_kept(knows: bool, monkeypatch: pytest.MonkeyPatch):
    """Until torch 2.5 fx took what writes for dead code where nothing reads its output."""
    if not knows:
        monkeypatch.setattr(torch.fx.Node, "is_impure", lambda node, *_: node.op in ("placeholder", "output"))
    again = traced(written_through_views, torch.zeros(2))
    for x in (torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 5.0])):
        torch.testing.assert_close(again(x), written_through_views(x), rtol=0, atol=0)


def test_a_trace_keeps_what_is_written_in_place_and_what_it_captures():
    offset = torch.tensor([1.0, 2.0])

    def function(x: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(2)
        total += x
        total.mul_(3)
        view = total[:1]
        view += offset[1]
        return total[[1, 0]]

    again = traced(function, torch.zeros(2))
    assert again(torch.tensor([5.0, 6.0])).tolist() == [18.0, 17.0]
    assert again(torch.tensor([0.0, 1.0])).tolist() == [3.0, 2.0]


def test_a_last_chunk_that_is_smaller_and_a_phase_that_is_another_are_traced_anew():
    """Second order follows first order at update 10; six tasks are a chunk of four and one of two."""
    algorithm = MAMLPlusPlus(inner_lr=0.2, inner_steps=2, first_order_epochs=1, epoch=10)
    learner, batch = learner_of(smooth_net(), algorithm), tasks(*range(6))
    with Workers(learner.model, Mapping()) as loop, Workers(learner.model, TRACED) as again:
        for update in (0, 10, 9, 11):
            found, expected = (meta_gradient(learner, batch, workers, update) for workers in (again, loop))
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_training_is_the_same_to_rounding():
    net = MLP(hidden=(8,)).build((1,), 1).double()

    def losses(mapping: Mapping) -> list[float]:
        learner = learner_of(net, MAML(inner_lr=0.05), loss="mean_squared_error")
        training, source = Training(updates=12, meta_batch=4), InDouble(Sinusoid(shots=5, queries=5).build().train)
        with Workers(learner.model, mapping) as workers:
            optimizer = outer_optimizer(learner.meta, training)
            return [progress.loss for progress in updates(learner, source, training, optimizer, workers)]

    assert losses(TRACED) == pytest.approx(losses(Mapping()), rel=1e-9)


def test_outputs_carry_no_graph_and_inputs_may():
    double = traced(lambda inputs: {"twice": 2 * inputs["x"]}, {"x": torch.ones(2)})
    found = double({"x": torch.tensor([3.0, 4.0], requires_grad=True)})["twice"]
    assert found.tolist() == [6.0, 8.0]
    assert not found.requires_grad


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # of what torch.compile imports
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_a_compiled_mean_equals_the_loop():
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2))
    compiled = Mapping(chunk=4, execution="compiled")
    with Workers(learner.model, Mapping()) as loop, Workers(learner.model, compiled) as workers:
        found, expected = (meta_gradient(learner, tasks(0, 1, 2, 3), either, 0) for either in (workers, loop))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"execution": "fast"}, "expected one of"), ({"execution": "compiled", "threads": 2}, "threads of its own")],
)
def test_a_mapping_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Mapping(**settings)


class Annealed(NamedTuple):
    """An algorithm of the user's own, whose inner rate falls with the update and nothing says so."""

    makes_head, head = False, None

    @property
    def inner_steps(self) -> int:
        return 1

    def order_at(self, update: int) -> int:
        return 2

    def loss_weights(self, update: int) -> tuple[float, ...]:
        return (0.0, 1.0)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        return MAML(inner_lr=0.0).init(model, generator)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        return MAML(inner_lr=0.5 / (1 + update)).meta_gradient(model, meta, task, 0)


def test_the_clock_does_not_choose_a_trace_that_would_not_hold():
    """Nor does the time decide: a trace that is a thousand times as fast is refused."""
    batch, slow = tasks(0, 1, 2, 3), Mapping(chunk=4)
    chosen = [
        _traced(learner_of(smooth_net(), algorithm), batch, slow, 1000.0, [slow])
        for algorithm in (MAML(inner_lr=0.5), Annealed())
    ]
    assert chosen == [TRACED, slow]


def test_other_learners_have_traces_of_their_own_and_inputs_may_lie_elsewhere_in_memory():
    one, other = (learner_of(smooth_net(), MAML(inner_lr=rate)) for rate in (0.1, 2.0))
    batch = tasks(0, 1, 2, 3)
    turned = batch._replace(
        support=batch.support._replace(x=batch.support.x.transpose(-1, -2).contiguous().transpose(-1, -2))
    )
    with Workers(one.model, TRACED) as again, Workers(one.model, Mapping()) as loop:
        for learner, given in ((one, batch), (other, batch), (other, turned)):
            found, expected = (meta_gradient(learner, given, workers, 0) for workers in (again, loop))
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def flattened_as_they_lie(model: Model, scale: Tensor, task: Task) -> Tensor:
    """The images of a task in the order in which memory holds them, as code of a user's own may read them."""
    x = task.support.x
    return scale * (x if x.is_contiguous() else x.transpose(-1, -2)).flatten(1)


@pytest.mark.parametrize("threads", [1, 2])
def test_inputs_that_lie_otherwise_in_memory_have_a_trace_of_their_own(threads: int):
    """What Python does may hang on the strides: [[1, 2], [3, 4]] laid out by columns is read as 1, 3, 2, 4."""
    by_rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(2, 1, 1, 2, 2).contiguous()
    by_columns = by_rows.transpose(-1, -2).contiguous().transpose(-1, -2)
    labels = torch.zeros(2, 1, dtype=torch.int64)
    model = learner_of(smooth_net(), MAML(inner_lr=0.1)).model
    with Workers(model, Mapping(threads=threads, execution="traced")) as workers:
        found = [
            workers.mean(flattened_as_they_lie, torch.ones(()), Task(Examples(x, labels), Examples(x, labels)))
            for x in (by_rows, by_columns, by_rows)
        ]
    assert [one.tolist() for one in found] == [[[1.0, 2.0, 3.0, 4.0]], [[1.0, 3.0, 2.0, 4.0]], [[1.0, 2.0, 3.0, 4.0]]]
