"""A net as a pure function of its named parameters, with its norm policy and its loss."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.dropout import _DropoutNd

from fewstep.core import Examples, Meta, Params
from fewstep.nets import norm as norms
from fewstep.nets.convolution import Convolution
from fewstep.nets.fast import fast
from fewstep.nets.head import check_head, head_of, without_head
from fewstep.nets.norm import Norm
from fewstep.nets.weight_norm import copied

Loss = Literal["mean_cross_entropy", "mean_squared_error"]
"""Reductions are means over examples (and output dimensions), so `inner_lr` is always a rate on the mean loss."""


ACCUMULATING: tuple[Norm, ...] = ("running", "per_step")
"""The policies whose statistics travel through `Meta.state`."""
MOMENTUM = 0.1
"""How far an update moves the running statistics, as in torch and in MAML++."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A net's forwards. The module is not thread-safe (functional_call swaps tensors on it): copy per thread."""

    net: nn.Module
    support_net: nn.Module
    query_net: nn.Module
    given_net: nn.Module | None
    """the net on statistics given to it, for policies whose queries use such"""
    observer: nn.Module | None
    names: tuple[str, ...]
    norm_names: tuple[str, ...]
    """those of `names` that are weights and biases of norms"""
    loss_name: Loss
    norm: Norm
    is_transductive: bool
    """Whether a query's prediction depends on the queries forwarded with it."""
    is_stochastic: bool
    """Whether a forward in training draws random numbers."""
    is_tied: bool
    """Whether the net has a tensor under several names."""
    convolved: tuple[str, ...]
    """those of `names` that are weights of convolutions which take channels last"""
    is_evaluating: bool = False
    """Whether queries use the statistics accumulated in training, where the policy accumulates any."""
    head: str | None = None
    """the dotted name of the net's head: the last `nn.Linear` unless the algorithm names another"""
    embedding: "Model | None" = None
    """the net without its head, for algorithms whose head is made for a task"""
    ways: int | None = None
    """classes of the tasks at hand, for algorithms whose head is made for a task"""

    def parameters(self) -> Params:
        """The trainable parameters of the net as built, by its own names; detached copies."""
        trainable = dict(self.net.named_parameters())
        return {name: trainable[name].detach().clone() for name in self.names}

    def laid_out(self, meta: Meta) -> Meta:
        """The same values without gradients, and weights in memory as the net's convolutions want them: on a CPU."""

        def lay(groups: dict[str, Params]) -> dict[str, Params]:
            return {key: {name: self._laid_out(name, value) for name, value in groups[key].items()} for key in groups}

        return Meta(lay(meta.learned), lay(meta.state))

    def _laid_out(self, name: str, value: Tensor) -> Tensor:
        value = value.detach()
        if name not in self.convolved or value.dim() != 4 or value.device.type != "cpu":
            return value
        return value.contiguous(memory_format=torch.channels_last)

    def support_outputs(self, phi: Params, x: Tensor) -> Tensor:
        """Logits `[N, ways]`, or `[N, D]`, of `x: [N, *input]` in the inner loop."""
        return self._call(self.support_net, {name: phi[name] for name in self.names}, x)

    def query_outputs(self, phi: Params, x: Tensor) -> Tensor:
        """Logits `[M, ways]`, or `[M, D]`, of queries at settled parameters."""
        return self._call(self.query_net, phi, x)

    def support_loss(self, phi: Params, support: Examples) -> Tensor:
        """The mean loss that the inner loop descends; a scalar."""
        return self.loss(self.support_outputs(phi, support.x), support.y)

    def statistics(self, inner_steps: int) -> dict[str, Params]:
        """What `Meta.state` holds for the norm policy at the start: a row `[C]` for every step, or one for all."""
        if not self.accumulates:
            return {}
        assert self.given_net is not None
        rows = max(inner_steps, 1) if self.norm == "per_step" else 1
        return {"statistics": norms.initial_statistics(self.given_net, rows)}

    def settle(self, phi: Params, support_x: Tensor, state: dict[str, Params], steps: int) -> Params:
        """`phi`, reached after `steps` inner steps, with the statistics that queries need beside it, if any.

        Row i serves the queries at φ_{i+1}; steps beyond the last row reuse it.
        """
        if self.accumulates:
            if not self.is_evaluating:
                return phi
            rows = state["statistics"]
            return {**phi, **{name: value[min(max(steps - 1, 0), len(value) - 1)] for name, value in rows.items()}}
        return phi if self.observer is None else {**phi, **self.observe(phi, support_x)}

    def observe(self, phi: Params, x: Tensor) -> Params:
        """Mean and biased variance `[C]` of the batch `x` in every batch norm, under the names of its buffers."""
        if self.embedding is not None:  # φ may have any head
            return self.embedding.observe(phi, x)
        assert self.observer is not None
        self._call(self.observer, {name: phi[name] for name in self.names}, x)
        return norms.take_observed(self.observer)

    def accumulated(self, state: dict[str, Params], path: Sequence[Params], query_x: Tensor) -> dict[str, Params]:
        """`state` after one task: row i moves towards the statistics of the queries at φ_{i+1}, `path[i + 1]`."""
        if not self.accumulates:
            return state
        rows = {name: list(value) for name, value in state["statistics"].items()}
        count = len(next(iter(rows.values())))
        for row, phi in enumerate(path[-count:]):
            for name, seen in self.observe(phi, query_x).items():
                rows[name][row] = (1 - MOMENTUM) * rows[name][row] + MOMENTUM * seen.detach()
        return {**state, "statistics": {name: torch.stack(value) for name, value in rows.items()}}

    @property
    def accumulates(self) -> bool:
        """Whether training accumulates statistics for evaluation."""
        return self.norm in ACCUMULATING and self.given_net is not None

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean loss over examples; a scalar."""
        if self.loss_name == "mean_cross_entropy":
            return F.cross_entropy(outputs, y)
        return F.mse_loss(outputs, y)

    @property
    def is_classifier(self) -> bool:
        """Whether outputs are logits over classes."""
        return self.loss_name == "mean_cross_entropy"

    @property
    def head_names(self) -> tuple[str, ...]:
        """Those of `names` that belong to the head."""
        return tuple(name for name in self.names if self.head is not None and name.startswith(f"{self.head}."))

    def for_evaluation(self) -> "Model":
        """A copy as it is tested: no dropout, queries on the statistics that the policy keeps for them."""
        model = self.without_dropout()
        if model.embedding is not None:
            model = dataclasses.replace(model, embedding=model.embedding.for_evaluation())
        if model.accumulates:
            assert model.given_net is not None
            model = dataclasses.replace(model, query_net=model.given_net)
        return dataclasses.replace(model, is_evaluating=True)

    def without_dropout(self) -> "Model":
        """A copy whose forwards draw no random numbers, otherwise as in training."""
        return dataclasses.replace(self._copy(nn.Module.eval), is_stochastic=False)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Model":
        """A copy on `device`, floating tensors in `dtype`."""
        return self._copy(lambda net: net.to(device, dtype))

    def _copy(self, change: Callable[[nn.Module], nn.Module]) -> "Model":
        """A deep copy with every one of its nets changed in place."""
        model = copy.deepcopy(self)
        for net in (model.net, model.support_net, model.query_net, model.given_net, model.observer):
            if net is not None:
                change(net)
        return model if model.embedding is None else dataclasses.replace(model, embedding=model.embedding._copy(change))

    def _call(self, net: nn.Module, tensors: Params, x: Tensor) -> Tensor:
        outputs = functional_call(net, tensors, (x,), tie_weights=self.is_tied)
        if not isinstance(outputs, Tensor):
            raise ValueError(f"the net returned a {type(outputs).__name__}, expected one tensor [N, outputs]")
        return outputs


def embedded_model_of(net: nn.Module, *, loss: Loss, norm: Norm, head: str | None = None) -> Model:
    """The model of a net whose head is made for every task, with that of its embedding beside it.

    Raises `ValueError` where the net has no head.
    """
    model = model_of(net, loss=loss, norm=norm, head=head)
    if model.head is None:
        raise ValueError(f"{type(net).__name__} has no linear layer to take for its head: end it with an nn.Linear")
    return dataclasses.replace(model, embedding=model_of(without_head(net, model.head), loss=loss, norm=norm))


def model_of(
    net: nn.Module, *, loss: Loss = "mean_cross_entropy", norm: Norm = "transductive", head: str | None = None
) -> Model:
    """The model of any `nn.Module`; the module itself is copied, never changed.

    `head` is the dotted name of the net's head, by default the last `nn.Linear`. Raises `ValueError` where it names
    no layer.
    """
    if head is not None:
        check_head(net, head)
    for name, value, known in (("loss", loss, get_args(Loss)), ("norm", norm, get_args(Norm))):
        if value not in known:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(known)}")
    net = copied(net).train()
    names = tuple(name for name, parameter in net.named_parameters() if parameter.requires_grad)
    if not names:
        raise ValueError(f"{type(net).__name__} has no parameter that requires a gradient: nothing to learn")
    if norm in norms.WITHOUT_BATCH:
        net = norms.without_batch(net, norm)
    keeps = norm in ("support", *ACCUMULATING) and norms.has_batch_norm(net)
    given_net = fast(norms.on_given_statistics(net)) if keeps else None
    support_net = fast(norms.on_batch_statistics(net))
    convolved = {f"{name}.weight" for name, layer in support_net.named_modules() if isinstance(layer, Convolution)}
    tensors = [
        tensor
        for named in (net.named_parameters(remove_duplicate=False), net.named_buffers(remove_duplicate=False))
        for _, tensor in named
    ]
    return Model(
        net=net,
        support_net=support_net,
        query_net=given_net if norm == "support" and given_net is not None else fast(norms.on_batch_statistics(net)),
        given_net=given_net,
        observer=fast(norms.observing(net)) if keeps else None,
        names=names,
        norm_names=tuple(name for name in norms.norm_parameters(net) if name in names),
        loss_name=loss,
        norm=norm,
        is_transductive=norm == "transductive" and norms.has_batch_norm(net),
        is_stochastic=any(_draws(layer) for layer in net.modules()),
        is_tied=len({id(tensor) for tensor in tensors}) < len(tensors),
        convolved=tuple(name for name in names if name in convolved),
        head=head or head_of(net),
    )


def _draws(layer: nn.Module) -> bool:
    """Whether a layer is known to draw random numbers; `Learner.checked` sees the others at work."""
    if isinstance(layer, nn.RNNBase | nn.MultiheadAttention):
        return float(layer.dropout) > 0
    return isinstance(layer, _DropoutNd) and layer.p > 0
