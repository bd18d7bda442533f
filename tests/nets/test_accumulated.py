"""The policies `running` and `per_step`: what training accumulates, and what evaluation makes of it."""

import pytest
import torch
from torch import Tensor, nn

from builders import (
    InDouble,
    image_splits,
    leaving_as_it_was,
    plain_adapt,
    plain_outputs,
    seed,
    smooth_net,
    smooth_task,
)
from fewstep.adapted import adapt
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.reptile import Reptile
from fewstep.core import Meta, Params, map_tensors
from fewstep.evaluation import Evaluation, evaluate
from fewstep.inner.sgd import SGD
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.training import Training, outer_optimizer, updates

EXACT = {"rtol": 1e-12, "atol": 1e-12}
STEPS = 3
TASKS = InDouble(image_splits(queries=3).train)
ALGORITHMS = {
    "maml": MAML(inner_lr=0.2, inner_steps=STEPS),
    "first-order": MAML(inner_lr=0.2, inner_steps=STEPS, order=1),
    "maml++": MAMLPlusPlus(inner_lr=0.2, inner_steps=STEPS, multi_step_epochs=1),
    "reptile": Reptile(inner_lr=0.2, inner_steps=STEPS, inner_batch=None, optimizer=SGD()),
}
ROWS = {"running": 1, "per_step": STEPS}
both = pytest.mark.parametrize("norm", ROWS)


def learner_with_rows(norm: str, inner_steps: int = STEPS) -> Learner:
    """As after training: every row of statistics has values of its own."""
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=inner_steps), norm=norm)
    generator = seed(6)

    def drawn(rows: Tensor) -> Tensor:
        return 0.5 + torch.rand(rows.shape, generator=generator, dtype=torch.float64)

    return Learner(
        model=learner.model,
        algorithm=learner.algorithm,
        meta=Meta(learner.meta.learned, map_tensors(drawn, learner.meta.state)),
    )


def row_at(learner: Learner, i: int) -> Params:
    return {name: rows[min(i, len(rows) - 1)] for name, rows in learner.meta.state["statistics"].items()}


def batch_statistics(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of every channel before the batch norm, summed by hand."""
    features = net[0](x).transpose(0, 1).flatten(1)  # [C, values]
    mean = features.sum(1) / features.shape[1]
    return mean, ((features - mean[:, None]) ** 2).sum(1) / features.shape[1]


@both
def test_statistics_begin_with_mean_zero_and_variance_one_in_a_row_for_every_step_or_one_for_all(norm: str):
    state = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=STEPS), norm=norm).meta.state["statistics"]
    expected = {"1.running_mean": torch.zeros(ROWS[norm], 3), "1.running_var": torch.ones(ROWS[norm], 3)}
    torch.testing.assert_close(state, {name: value.double() for name, value in expected.items()}, rtol=0, atol=0)


@pytest.mark.parametrize("name", ALGORITHMS)
@both
def test_one_task_moves_row_i_by_a_tenth_towards_the_queries_at_the_parameters_after_step_i_plus_one(
    norm: str, name: str
):
    """The one row of `running` moves towards those at the last step."""
    task, algorithm = smooth_task(queries=3), ALGORITHMS[name]
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    found = algorithm.meta_gradient(learner.model, learner.meta, task, 0).state["statistics"]
    for row, steps in enumerate((1, 2, 3) if norm == "per_step" else (3,)):
        mean, var = batch_statistics(plain_adapt(smooth_net(), task.support, steps=steps, lr=0.2), task.query.x)
        torch.testing.assert_close(found["1.running_mean"][row], 0.1 * mean, **EXACT)
        torch.testing.assert_close(found["1.running_var"][row], 0.9 + 0.1 * var, **EXACT)


@both
def test_an_update_accumulates_the_mean_over_its_tasks_and_the_next_goes_on_from_there(norm: str):
    """The outer rate is zero, so that θ stays and every update can be computed beside it."""
    algorithm, training = ALGORITHMS["maml"], Training(updates=3, meta_batch=2, lr=0.0)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    with Workers(learner.model, Mapping(threads=2)) as workers:
        list(updates(learner, TASKS, training, outer_optimizer(learner.meta, training), workers))
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for update in range(3):
        batch = TASKS.sample(0, "train", update, 2)
        for_each = [
            batch_statistics(plain_adapt(smooth_net(), task.support, steps=STEPS, lr=0.2), task.query.x)
            for task in (batch.select(0), batch.select(1))
        ]
        mean = 0.9 * mean + 0.1 * (for_each[0][0] + for_each[1][0]) / 2
        var = 0.9 * var + 0.1 * (for_each[0][1] + for_each[1][1]) / 2
    torch.testing.assert_close(learner.meta.state["statistics"]["1.running_mean"][-1], mean, **EXACT)
    torch.testing.assert_close(learner.meta.state["statistics"]["1.running_var"][-1], var, **EXACT)


@both
def test_with_no_inner_step_the_statistics_are_those_of_theta_and_act(norm: str):
    task, algorithm = smooth_task(), MAML(inner_lr=0.2, inner_steps=0)
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    state = algorithm.meta_gradient(learner.model, learner.meta, task, 0).state
    mean, var = batch_statistics(smooth_net(), task.query.x)
    torch.testing.assert_close(state["statistics"]["1.running_mean"], 0.1 * mean[None], **EXACT)
    tested = Learner(model=learner.model, algorithm=algorithm, meta=Meta(learner.meta.learned, state)).for_evaluation()
    rows = {"1.running_mean": 0.1 * mean, "1.running_var": 0.9 + 0.1 * var}
    expected = plain_outputs(smooth_net(), task.support, task.query.x, norm, accumulated=rows)
    torch.testing.assert_close(tested.predict(tested.adapt(task.support), task.query.x), expected, **EXACT)


@both
def test_training_is_that_of_the_transductive_policy_to_the_last_bit(norm: str):
    task, algorithm = smooth_task(), ALGORITHMS["maml"]
    outcomes = []
    for each in (norm, "transductive"):
        learner = learner_of(smooth_net(), algorithm, norm=each)
        outcomes.append(algorithm.meta_gradient(learner.model, learner.meta, task, 0)._replace(state={})._asdict())
    torch.testing.assert_close(*outcomes, rtol=0, atol=0)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
@both
def test_evaluation_is_torchs_evaluation_mode_on_the_row_of_the_last_step(norm: str, steps: int):
    """Queries after step i + 1 are on row i; at θ they are on row 0, beyond the last row on that."""
    task, learner = smooth_task(), learner_with_rows(norm)
    tested = learner.for_evaluation()
    found = tested.predict(tested.adapt(task.support, steps), task.query.x)
    net = plain_adapt(smooth_net(), task.support, steps=steps, lr=0.2)
    rows = row_at(learner, max(steps - 1, 0))
    torch.testing.assert_close(
        found, plain_outputs(net, task.support, task.query.x, norm, accumulated=rows), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("i", range(STEPS))
def test_changing_a_row_changes_the_evaluation_at_its_step_only(i: int):
    """Row 0 serves θ as well, and the last row all steps beyond."""
    learner, task = learner_with_rows("per_step"), smooth_task()

    def logits() -> list[Tensor]:
        tested = learner.for_evaluation()
        return [tested.predict(tested.adapt(task.support, steps), task.query.x) for steps in range(STEPS + 2)]

    before = logits()
    learner.meta.state["statistics"]["1.running_mean"][i] += 1
    changed = {step for step, (a, b) in enumerate(zip(before, logits(), strict=True)) if not torch.equal(a, b)}
    assert changed == {0: {0, 1}, 1: {2}, 2: {3, 4}}[i]


@both
def test_the_rows_of_a_step_act_on_tested_queries_and_not_on_training(norm: str):
    task, learner = smooth_task(), learner_with_rows(norm)
    fresh = learner_of(smooth_net(), learner.algorithm, norm=norm)

    def outputs(each: Learner) -> Tensor:
        return each.predict(each.adapt(task.support), task.query.x).detach()

    assert torch.equal(outputs(learner), outputs(fresh))
    assert (outputs(learner.for_evaluation()) - outputs(fresh.for_evaluation())).abs().max() > 1e-2


@both
def test_evaluation_changes_no_row(norm: str):
    learner = learner_with_rows(norm)
    with leaving_as_it_was(learner):
        evaluate(learner, TASKS, Evaluation(tasks=3, steps=5))


@both
def test_a_result_says_on_which_statistics_and_is_not_transductive(norm: str):
    found = evaluate(learner_with_rows(norm), TASKS, Evaluation(tasks=3, steps=2))
    assert f"seed 0, {norm} statistics, 2 steps" in str(found)
    assert found.per_query == found.score


@pytest.mark.parametrize("steps", [0, 2, 5])
@both
def test_the_exported_net_holds_the_row_of_its_step_in_the_users_own_batch_norms(norm: str, steps: int):
    task, learner = smooth_task(), learner_with_rows(norm)
    net, row = adapt(learner, task.support, steps=steps), row_at(learner, max(steps - 1, 0))
    assert torch.equal(net[1].running_mean, row["1.running_mean"])
    assert torch.equal(net[1].running_var, row["1.running_var"])
    tested = learner.for_evaluation()
    expected = tested.predict(tested.adapt(task.support, steps), task.query.x)
    torch.testing.assert_close(net(task.query.x), expected, **EXACT)


@pytest.mark.parametrize("chunk", [2, 6])
@both
def test_statistics_of_vectorised_chunks_equal_those_of_the_loop(norm: str, chunk: int):
    outcomes = []
    for mapping in (Mapping(), Mapping(chunk=chunk)):
        learner, training = learner_with_rows(norm), Training(updates=2, meta_batch=6, lr=0.01)
        with Workers(learner.model, mapping) as workers:
            list(updates(learner, TASKS, training, outer_optimizer(learner.meta, training), workers))
        outcomes.append(learner.meta.state["statistics"])
    torch.testing.assert_close(*outcomes, rtol=1e-10, atol=1e-12)


@both
def test_a_net_without_batch_norm_has_no_statistics_to_accumulate(norm: str):
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 3)).double()
    learner, task = learner_of(net, ALGORITHMS["maml"], norm=norm), smooth_task()
    assert learner.meta.state == {}
    assert learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0).state == {}
    tested = learner.for_evaluation()
    expected = plain_adapt(net, task.support, steps=STEPS, lr=0.2)(task.query.x)
    torch.testing.assert_close(tested.predict(tested.adapt(task.support), task.query.x), expected, **EXACT)
