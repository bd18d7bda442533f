"""Pulling a meta-gradient back one step at a time, against the graph of the whole inner loop."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from builders import RULES, smooth_net, smooth_task, stacked
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.core import MetaGradient
from fewstep.learner import learner_of
from fewstep.memory import held_bytes

ALGORITHMS = {
    "no step": MAML(inner_lr=0.2, inner_steps=0),
    "first order": MAML(inner_lr=0.2, inner_steps=3, order=1, learn_inner_lr=True),
    "learned rates": MAML(inner_lr=0.2, inner_steps=3, learn_inner_lr=True),
    **{name: MAML(inner_lr=0.2, inner_steps=3, optimizer=rule.ours) for name, rule in RULES.items()},
    "MAML++": MAMLPlusPlus(inner_lr=0.2, inner_steps=4, learn_inner_lr=True, multi_step_epochs=4, per_step_norm=True),
}


def outcome(algorithm: Any, norm: str) -> MetaGradient:
    learner = learner_of(smooth_net(), algorithm, norm=norm)
    return algorithm.meta_gradient(learner.model, learner.meta, smooth_task(), 0)


@pytest.mark.parametrize("norm", ["transductive", "support", "per_step"])
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_recomputed_gradients_are_those_of_the_whole_graph_to_the_last_bit(algorithm: Any, norm: str):
    whole, again = outcome(algorithm, norm), outcome(dataclasses.replace(algorithm, recompute=True), norm)
    torch.testing.assert_close(again, whole, rtol=0, atol=0)


def test_recomputed_gradients_are_the_same_inside_a_vmap():
    algorithm = ALGORITHMS["learned rates"]
    learner, tasks = learner_of(smooth_net(), algorithm), stacked([smooth_task(0), smooth_task(1)])

    def gradients(recompute: bool) -> MetaGradient:
        how = dataclasses.replace(algorithm, recompute=recompute)
        return torch.func.vmap(lambda task: how.meta_gradient(learner.model, learner.meta, task, 0))(tasks)

    torch.testing.assert_close(gradients(True), gradients(False), rtol=1e-12, atol=1e-12)


def most_held(steps: int, recompute: bool) -> int:
    learner = learner_of(smooth_net(), MAML(inner_lr=0.2, inner_steps=steps, recompute=recompute))
    return held_bytes(learner, smooth_task())


def test_what_graphs_hold_does_not_grow_with_the_steps_where_they_are_recomputed():
    assert most_held(steps=8, recompute=True) == most_held(steps=2, recompute=True) > 0
    assert most_held(steps=8, recompute=False) > 3 * most_held(steps=2, recompute=False)


def test_a_net_that_draws_random_numbers_cannot_be_recomputed():
    with pytest.raises(ValueError, match="draws other numbers each time"):
        learner_of(nn.Sequential(nn.Linear(2, 2), nn.Dropout()), MAML(inner_lr=0.2, recompute=True))
