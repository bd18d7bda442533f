"""What the tests of algorithms that make a head for each task share: embeddings and derivatives without fewstep."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from builders import central_difference, inner_product, plain_net, plain_outputs, seed, smooth_task, unit_direction
from fewstep.core import Examples, Params, Task
from fewstep.learner import Learner

OUTER_LOSS_NORMS = ("transductive", "support", "running", "group", "none")
"""The policies between which training differs: `per_step` trains as `running` does, `layer` as `group` here."""


def body_outputs(net: nn.Module, support: Examples, query_x: Tensor, norm: str) -> tuple[Tensor, Tensor]:
    """The embeddings of support set and queries in training; `net` ends with its head."""
    body = plain_net(nn.Sequential(*list(net)[:-1]), norm)
    return copy.deepcopy(body).train()(support.x), plain_outputs(body, support, query_x, norm)


def assert_whole_gradient(
    learner: Learner, logits: Callable[[nn.Module, Task, dict[str, Params]], Tensor], rel: float = 1e-6
) -> None:
    """Directional central differences of the query loss in every learned group, by `logits` of nets without fewstep."""
    task = smooth_task(shots=2, queries=2)
    outcome = learner.algorithm.meta_gradient(learner.model, learner.meta, task, 0)
    for group, learned in learner.meta.learned.items():

        def loss(at: Params, group: str = group) -> float:
            now: dict[str, Any] = {**learner.meta.learned, group: at}
            net = copy.deepcopy(learner.model.net)
            net.load_state_dict({name: value.detach() for name, value in now["theta"].items()}, strict=False)
            return F.cross_entropy(logits(net, task, now), task.query.y).item()

        assert outcome.loss.item() == pytest.approx(loss(learned), rel=1e-9)
        for number in range(3):
            direction = unit_direction(learned, seed(number))
            expected = central_difference(loss, learned, direction)
            assert inner_product(outcome.gradient[group], direction) == pytest.approx(expected, rel=rel, abs=1e-9)
