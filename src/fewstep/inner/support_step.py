"""One step of descent on the support loss, of all parameters or of some."""

from collections.abc import Iterable
from typing import Literal

import torch

from fewstep.core import Examples, Inner, Params, map_tensors
from fewstep.differentiation import grad
from fewstep.inner.optimizer import InnerOptimizer, Rates
from fewstep.model import Model


def support_step(
    model: Model, inner: Inner, support: Examples, optimizer: InnerOptimizer, rates: Rates, *, order: Literal[1, 2]
) -> Inner:
    """The inner state after a step of the parameters that `rates` names; all others stay as they are."""
    gradient = support_gradient(model, inner.phi, support, rates, order=order)
    stepped = optimizer.step(Inner({name: inner.phi[name] for name in rates}, inner.slots), gradient, rates)
    return Inner({**inner.phi, **stepped.phi}, stepped.slots)


def support_gradient(
    model: Model, phi: Params, support: Examples, names: Iterable[str], *, order: Literal[1, 2]
) -> Params:
    """∇L_support(φ) by `names`. In first order its inputs are detached: no second derivative is taken, while what
    multiplies it, as a learned rate, still gets its gradient."""
    phi = phi if order == 2 else map_tensors(torch.detach, phi)
    part = {name: phi[name] for name in names}
    rest = {name: value for name, value in phi.items() if name not in part}
    return grad(lambda part, rest: model.support_loss({**rest, **part}, support), part, rest)
