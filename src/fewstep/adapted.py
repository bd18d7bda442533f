"""The adapted model as a product: a plain `nn.Module` with the user's own parameter names."""

import copy

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewstep.core import Examples
from fewstep.learner import Learner


def adapt(learner: Learner, support: Examples, *, steps: int | None = None) -> nn.Module:
    """The learner's net adapted to `support`, in evaluation mode: the user's own class and parameter names.

    Batch norms hold the statistics of the support set at the adapted parameters, so each prediction is its own;
    under the policy `support` that is exactly how the learner was trained. Under `running` and `per_step` they hold
    what training accumulated; under `group`, `layer` and `none` the batch norms are replaced, their names kept.
    `support.x: [N, *input]`; `support.y: [N]` class ids, or `[N, D]` values.
    """
    learner = (learner.under("support") if learner.model.norm == "transductive" else learner).for_evaluation()
    phi = learner.adapt(support, steps)
    net = copy.deepcopy(learner.model.net)
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            _keep_statistics(layer, learner.parameters()[0])
    net.load_state_dict({name: value.detach() for name, value in phi.items()}, strict=False)
    return net


def _keep_statistics(layer: _BatchNorm, like: Tensor) -> None:
    """Make sure that evaluation mode reads running statistics, whatever the net was built with."""
    if layer.running_mean is None:
        layer.track_running_stats = True
        layer.running_mean = like.new_zeros(layer.num_features)
        layer.running_var = like.new_ones(layer.num_features)
