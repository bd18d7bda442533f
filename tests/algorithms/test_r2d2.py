import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builders import seed, smooth_net, smooth_task
from fewstep.algorithms.r2d2 import R2D2, ridge_solution
from fewstep.core import Params, Task
from fewstep.learner import learner_of
from head_builders import OUTER_LOSS_NORMS, assert_whole_gradient, body_outputs


def plain_logits(net: nn.Module, task: Task, norm: str, ridge: float, scale: float) -> Tensor:
    """α f(x) W with W by the normal equations, (XᵀX + λI) W = XᵀY, inverted by numpy."""
    features, queries = (x.detach().numpy() for x in body_outputs(net, task.support, task.query.x, norm))
    targets = F.one_hot(task.support.y, 3).double().numpy()
    inverse = np.linalg.inv(features.T @ features + ridge * np.eye(features.shape[1]))
    return torch.from_numpy(scale * queries @ inverse @ features.T @ targets)


@pytest.mark.parametrize("examples", [4, 7, 12])
def test_fewer_or_more_examples_than_features_solve_the_same_ridge_regression(examples: int):
    """Of 7 features: at the minimum of ‖XW − Y‖² + λ‖W‖² its gradient, 2Xᵀ(XW − Y) + 2λW, is zero."""
    generator = seed(0)
    x = torch.randn(examples, 7, generator=generator, dtype=torch.float64)
    y = torch.randn(examples, 3, generator=generator, dtype=torch.float64)
    w = ridge_solution(x, y, torch.tensor(0.3, dtype=torch.float64))
    assert w.shape == (7, 3)
    torch.testing.assert_close(x.T @ (x @ w - y), -0.3 * w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shots", [2, 10])
@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_logits_are_those_of_ridge_regression_by_normal_equations(norm: str, shots: int):
    """27 features, 6 or 30 examples."""
    task = smooth_task(shots=shots)
    learner = learner_of(smooth_net(), R2D2(ridge=0.7, scale=3.0), norm=norm)
    found = learner.predict(learner.adapt(task.support), task.query.x)
    torch.testing.assert_close(found, plain_logits(smooth_net(), task, norm, 0.7, 3.0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", OUTER_LOSS_NORMS)
def test_the_meta_gradient_of_the_net_and_of_both_numbers_is_the_derivative_through_the_solution(norm: str):
    learner = learner_of(smooth_net(), R2D2(ridge=0.7, scale=3.0), norm=norm)
    assert set(learner.meta.learned) == {"theta", "solver"}

    def logits(net: nn.Module, task: Task, learned: dict[str, Params]) -> Tensor:
        numbers = learned["solver"]
        return plain_logits(net, task, norm, *(math.exp(numbers[name].item()) for name in ("log_ridge", "log_scale")))

    assert_whole_gradient(learner, logits)


def test_the_adapted_head_is_the_users_own_layer_without_a_shift():
    learner, task = learner_of(smooth_net(), R2D2()), smooth_task(ways=5)
    phi = learner.adapt(task.support)
    assert phi["4.weight"].shape == (5, 27)
    assert phi["4.bias"].tolist() == [0] * 5


@pytest.mark.parametrize("field", ["ridge", "scale"])
def test_numbers_that_have_no_logarithm_are_refused(field: str):
    with pytest.raises(ValueError, match="expected more than 0"):
        R2D2(**{field: 0.0})


def test_a_regression_is_refused():
    with pytest.raises(ValueError, match="take mean_cross_entropy"):
        learner_of(smooth_net(), R2D2(), loss="mean_squared_error")
