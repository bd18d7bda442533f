"""A net as a pure function of its named parameters, with its norm policy and its loss."""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.dropout import _DropoutNd

from fewstep.core import Examples, Params
from fewstep.nets import norm as norms
from fewstep.nets.norm import Norm

Loss = Literal["mean_cross_entropy", "mean_squared_error"]
"""Reductions are means over examples (and output dimensions), so `inner_lr` is always a rate on the mean loss."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A net's three forwards. The module is not thread-safe (functional_call swaps tensors on it): copy per thread."""

    net: nn.Module
    support_net: nn.Module
    query_net: nn.Module
    observer: nn.Module | None
    names: tuple[str, ...]
    loss_name: Loss
    norm: Norm
    is_transductive: bool
    """Whether a query's prediction depends on the queries forwarded with it."""
    is_stochastic: bool
    """Whether a forward in training draws random numbers."""

    def parameters(self) -> Params:
        """The trainable parameters of the net as built, by its own names; detached copies."""
        trainable = dict(self.net.named_parameters())
        return {name: trainable[name].detach().clone() for name in self.names}

    def support_outputs(self, phi: Params, x: Tensor) -> Tensor:
        """Logits `[N, ways]`, or `[N, D]`, of `x: [N, *input]` in the inner loop."""
        return self._call(self.support_net, {name: phi[name] for name in self.names}, x)

    def query_outputs(self, phi: Params, x: Tensor) -> Tensor:
        """Logits `[M, ways]`, or `[M, D]`, of queries at settled parameters."""
        return self._call(self.query_net, phi, x)

    def support_loss(self, phi: Params, support: Examples) -> Tensor:
        """The mean loss that the inner loop descends; a scalar."""
        return self.loss(self.support_outputs(phi, support.x), support.y)

    def settle(self, phi: Params, support_x: Tensor) -> Params:
        """`phi` with what queries need beside it: the support set's statistics, if the policy keeps them."""
        if self.observer is None:
            return phi
        self._call(self.observer, {name: phi[name] for name in self.names}, support_x)
        return {**phi, **norms.take_observed(self.observer)}

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over examples; a scalar."""
        if self.loss_name == "mean_cross_entropy":
            return F.cross_entropy(outputs, y)
        return F.mse_loss(outputs, y)

    @property
    def is_classifier(self) -> bool:
        """Whether outputs are logits over classes."""
        return self.loss_name == "mean_cross_entropy"

    def for_evaluation(self) -> "Model":
        """A copy in evaluation mode: no dropout."""
        return dataclasses.replace(self._copy(nn.Module.eval), is_stochastic=False)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Model":
        """A copy on `device`, floating tensors in `dtype`."""
        return self._copy(lambda net: net.to(device, dtype))

    def _copy(self, change: Callable[[nn.Module], nn.Module]) -> "Model":
        """A deep copy with every one of its nets changed in place."""
        model = copy.deepcopy(self)
        for net in (model.net, model.support_net, model.query_net, model.observer):
            if net is not None:
                change(net)
        return model

    @staticmethod
    def _call(net: nn.Module, tensors: Params, x: Tensor) -> Tensor:
        outputs = functional_call(net, tensors, (x,))
        if not isinstance(outputs, Tensor):
            raise ValueError(f"the net returned a {type(outputs).__name__}, expected one tensor [N, outputs]")
        return outputs


def model_of(net: nn.Module, *, loss: Loss = "mean_cross_entropy", norm: Norm = "transductive") -> Model:
    """The model of any `nn.Module`; the module itself is copied, never changed."""
    for name, value, known in (("loss", loss, get_args(Loss)), ("norm", norm, get_args(Norm))):
        if value not in known:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(known)}")
    net = copy.deepcopy(net).train()
    names = tuple(name for name, parameter in net.named_parameters() if parameter.requires_grad)
    if not names:
        raise ValueError(f"{type(net).__name__} has no parameter that requires a gradient: nothing to learn")
    given = norm == "support" and norms.has_batch_norm(net)
    return Model(
        net=net,
        support_net=norms.on_batch_statistics(net),
        query_net=norms.on_given_statistics(net) if given else norms.on_batch_statistics(net),
        observer=norms.observing(net) if given else None,
        names=names,
        loss_name=loss,
        norm=norm,
        is_transductive=norm == "transductive" and norms.has_batch_norm(net),
        is_stochastic=any(_draws(layer) for layer in net.modules()),
    )


def _draws(layer: nn.Module) -> bool:
    """Whether a layer is known to draw random numbers; `Learner.checked` sees the others at work."""
    if isinstance(layer, nn.RNNBase | nn.MultiheadAttention):
        return float(layer.dropout) > 0
    return isinstance(layer, _DropoutNd)
