"""CAVIA, fast context adaptation via meta-learning (Zintgraf et al. 2019, arXiv:1810.03642, Alg. 1).

Only a small context vector c is adapted, from zero; all else of the net is shared by the tasks and learned.
c_{i+1} = c_i − α ∇_c L_support(θ, c_i),  θ ← θ − β ∇_θ mean over tasks of L_query(θ, c_S).

The context enters by the parameters of one layer, so that any net is taken as it is and φ is a net of its own class.
Concatenated to the input of a linear layer, c adds W_c c to its bias. FiLM (arXiv:1709.07871) on the channels behind a
norm, γ ∘ x̂ + β with both linear in c, adds to the norm's weight and bias; behind a convolution without a norm it
multiplies the filters by 1 + W_γ c and adds W_β c to the bias.

Departures: FiLM is behind the norm but before a pooling, where the official code has it behind that; what its linear
map adds as a constant is the layer's own weight and bias; α is a rate on the mean loss.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fewstep.core import Examples, Inner, Meta, MetaGradient, Params, Task, map_tensors
from fewstep.differentiation import grad
from fewstep.inner.query_gradient import query_gradient
from fewstep.inner.settings import check_order, check_steps, last_alone
from fewstep.model import Model


@dataclass(frozen=True, kw_only=True)
class CAVIA:
    """Fast context adaptation."""

    makes_head: ClassVar[bool] = False
    head: ClassVar[str | None] = None
    inner_lr: float = 1.0
    """inner learning rate α of the context, on the mean loss"""
    inner_steps: int = 2
    """inner steps in training"""
    context_size: int = 100
    """numbers in the context vector"""
    layer: str | None = None
    """dotted name of the norm, convolution or linear layer that the context acts on; none: the last norm but one, else
    the last convolution but one, else the first linear layer"""
    order: Literal[1, 2] = 2
    """derivative order: 2, or 1 for the first-order approximation"""

    def __post_init__(self) -> None:
        check_steps(self.inner_steps, least=1)  # without a step the map of the context has no gradient
        check_order(self.order)
        if self.context_size < 1:
            raise ValueError(f"context_size={self.context_size}: expected 1 or more")

    def order_at(self, update: int) -> Literal[1, 2]:
        """The derivative order of outer update `update`: the same for all."""
        return self.order

    def loss_weights(self, update: int) -> tuple[float, ...]:
        """The query loss after the last inner step alone."""
        return last_alone(self.inner_steps)

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        """θ as the net was built, the linear maps of the context as `nn.Linear` has them.

        Raises `ValueError` for a net without a layer that the context could act on.
        """
        theta, layer = model.parameters(), self._layer(model)
        weight, bias = theta[f"{layer}.weight"], theta[f"{layer}.bias"]
        by_input = weight.shape[1] if _is_linear(model, layer) else 0
        bound: float = (by_input + self.context_size) ** -0.5

        def drawn(rows: int) -> Tensor:
            return (bound * (2 * torch.rand(rows, self.context_size, generator=generator) - 1)).to(weight)

        maps = {"shift": drawn(bias.numel())}
        if not by_input:
            maps["scale"] = drawn(weight.numel() if _is_norm(model, layer) else len(weight))
        if self.order == 1 and _is_convolution(model, layer):
            raise ValueError(
                f"order=1: the context multiplies the filters of '{layer}', and first order is of what it adds; take "
                f"order=2, or name a norm or a linear layer by algorithm.layer"
            )
        return Meta({"theta": theta, "context": maps}, model.statistics(self.inner_steps))

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        """c_0 = 0, which leaves θ as it is."""
        zero = {"context": meta.learned["context"]["shift"].new_zeros(self.context_size)}
        return Inner(self._in_context(model, meta.learned, zero), {"context": zero})

    def step(self, model: Model, meta: Meta, inner: Inner, support: Examples, i: int) -> Inner:
        """c_{i+1} = c_i − α ∇_c L_support(θ, c_i) (Alg. 1, line 6)."""
        given = (inner.slots["context"], meta.learned)
        context, learned = given if self.order == 2 else map_tensors(torch.detach, given)

        def support_loss(context: Params, learned: dict[str, Params]) -> Tensor:
            return model.support_loss(self._in_context(model, learned, context), support)

        gradient = grad(support_loss, context, learned)
        stepped = {name: value - self.inner_lr * gradient[name] for name, value in inner.slots["context"].items()}
        return Inner(self._in_context(model, meta.learned, stepped), {"context": stepped})

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        """The net at θ in its context."""
        return model.query_outputs(phi, x)

    def meta_gradient(self, model: Model, meta: Meta, task: Task, update: int) -> MetaGradient:
        """∇ L_query(θ, c_S(θ)) by θ and the maps of the context (Alg. 1, line 9)."""
        return query_gradient(self, model, meta, task, self.loss_weights(update))

    def _in_context(self, model: Model, learned: dict[str, Params], context: Params) -> Params:
        """θ with the one layer's weight and bias as the context makes them."""
        theta, maps, layer = learned["theta"], learned["context"], self._layer(model)
        weight, bias = theta[f"{layer}.weight"], theta[f"{layer}.bias"]
        added = {name: matrix @ context["context"] for name, matrix in maps.items()}
        changed = {f"{layer}.bias": bias + added["shift"].view(bias.shape)}
        if _is_norm(model, layer):
            changed[f"{layer}.weight"] = weight + added["scale"].view(weight.shape)
        elif _is_convolution(model, layer):
            changed[f"{layer}.weight"] = weight * (1 + added["scale"]).view(-1, *[1] * (weight.dim() - 1))
        return {**theta, **changed}

    def _layer(self, model: Model) -> str:
        names = {*model.names}
        learns = [name for name, _ in model.net.named_modules() if {f"{name}.weight", f"{name}.bias"} <= names]
        norms = [name for name in learns if _is_norm(model, name)]
        convolutions = [name for name in learns if _is_convolution(model, name)]
        linear = [name for name in learns if _is_linear(model, name)]
        if self.layer is not None and self.layer not in (*norms, *convolutions, *linear):
            raise ValueError(
                f"layer={self.layer!r}: CAVIA's context acts on a norm, a convolution or a linear layer whose weight "
                f"and bias learn; this net has {', '.join([*norms, *convolutions, *linear]) or 'none'}"
            )
        fitting = [self.layer] if self.layer is not None else norms[-2:] or convolutions[-2:] or linear
        if not fitting:
            raise ValueError(
                "CAVIA's context acts on a norm, a convolution or a linear layer whose weight and bias learn, and this "
                f"net has none; its parameters are {', '.join(model.names)}"
            )
        return fitting[0]


def _is_norm(model: Model, layer: str) -> bool:
    return f"{layer}.weight" in model.norm_names


def _is_convolution(model: Model, layer: str) -> bool:
    return isinstance(model.net.get_submodule(layer), _ConvNd)


def _is_linear(model: Model, layer: str) -> bool:
    return isinstance(model.net.get_submodule(layer), nn.Linear)
