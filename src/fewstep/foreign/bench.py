"""Foreign code at work on copies of its tensors, put back to where it was before every measurement."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewstep import seeding
from fewstep.core import Examples, Params, Task, map_tensors
from fewstep.foreign.learner import Foreign


class Bench:
    """Runs a foreign learner at parameters `theta`; the same random numbers are drawn in every run."""

    def __init__(self, foreign: Foreign) -> None:
        self.foreign = foreign
        self.named = foreign.named()
        parts = foreign.parts().values()
        layers = [layer for part in parts if isinstance(part, nn.Module) for layer in part.modules()]
        self._layers = [(layer, dict(layer._parameters), dict(layer._buffers), layer.training) for layer in layers]
        inside = [
            tensor for layer in layers for kind in (layer._parameters, layer._buffers) for tensor in kind.values()
        ]
        everything = [*self.named.values(), *(tensor for tensor in inside if tensor is not None)]
        self._held = list({id(tensor): tensor for tensor in everything}.values())
        self._begin = [tensor.data.clone() for tensor in self._held]
        self.theta: Params = {name: tensor.data.clone() for name, tensor in self.named.items()}

    def put(self, theta: Params | None = None) -> None:
        """Every tensor and module as it was, parameters at `theta`, no gradients."""
        for layer, parameters, buffers, is_training in self._layers:
            layer._parameters, layer._buffers, layer.training = dict(parameters), dict(buffers), is_training
        for tensor, value in zip(self._held, self._begin, strict=True):
            tensor.data, tensor.grad = value.clone(), None
        for name, value in (theta or {}).items():
            self.named[name].data = value.clone()

    def adapted(self, support: Examples, theta: Params | None = None) -> Any:
        """What `adapt` makes of a support set, from `theta` or from where the code began."""
        self.put(theta)
        return self.adapted_here(support)

    def adapted_here(self, support: Examples) -> Any:
        """The same from wherever the code has got to."""
        torch.manual_seed(0)
        return self.foreign.adapt(Examples(support.x.clone(), support.y.clone()))

    def outputs(self, adapted: Any, x: Tensor) -> Tensor:
        """What `predict` says, without its graph."""
        return self.foreign.predict(adapted, x.clone()).detach()

    def logits(self, support: Examples, x: Tensor) -> Tensor:
        """Predictions of `x` after adaptation to `support`."""
        return self.outputs(self.adapted(support), x)

    def true_loss(self, task: Task) -> Callable[[Params], float]:
        """θ ↦ L_query(φ(θ))."""

        def loss(theta: Params) -> float:
            outputs = self.outputs(self.adapted(task.support, theta), task.query.x)
            return self.foreign.outer_loss(outputs, task.query.y).item()

        return loss

    def rigid_loss(self, task: Task) -> Callable[[Params], float]:
        """θ ↦ L_query(φ + (θ − θ₀)), for the φ that can be seen in what `adapt` returned, or in the parameters."""
        adapted = self.adapted(task.support)
        moved = {id(tensor): (name, tensor) for name, tensor in self.named.items()}
        moved.update({id(tensor): (name, tensor) for name, tensor in matched(adapted, self.named).items()})
        began = [tensor.data.clone() for _, tensor in moved.values()]

        def loss(theta: Params) -> float:
            for (name, tensor), value in zip(moved.values(), began, strict=True):
                tensor.data = value + theta[name] - self.theta[name]
            torch.manual_seed(1)
            return self.foreign.outer_loss(self.outputs(adapted, task.query.x), task.query.y).item()

        return loss

    def gradient(self, task: Task) -> tuple[dict[str, Tensor | None], Tensor | None]:
        """What the code's own backward leaves in `.grad`, and the query logits that it tells of."""
        self.put()
        torch.manual_seed(0)
        logits = (self.foreign.backward or self._backward)(map_tensors(torch.clone, task))
        return {name: tensor.grad for name, tensor in self.named.items()}, None if logits is None else logits.detach()

    def _backward(self, task: Task) -> None:
        outputs = self.foreign.predict(self.foreign.adapt(task.support), task.query.x)
        loss = self.foreign.outer_loss(outputs, task.query.y)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]

    def changed(self) -> list[str]:
        """The parameters that are not where they began, or that another tensor has taken the place of."""
        kept = {id(tensor) for layer, *_ in self._layers for tensor in layer._parameters.values()}
        held = {id(tensor) for _, parameters, *_ in self._layers for tensor in parameters.values()}
        return [
            name
            for name, tensor in self.named.items()
            if not torch.equal(tensor.data, self.theta[name]) or (id(tensor) in held and id(tensor) not in kept)
        ]

    def changed_buffers(self) -> bool:
        """Whether any module has other buffers than it began with, as running statistics are after a forward."""
        begin = dict(zip(map(id, self._held), self._begin, strict=True))
        return any(
            tensor is not None and not torch.equal(tensor, begin[id(buffers[name])])
            for layer, _, buffers, _ in self._layers
            for name, tensor in layer._buffers.items()
            if buffers.get(name) is not None
        )


@contextlib.contextmanager
def on_bench(foreign: Foreign, dtype: torch.dtype | None = None) -> Iterator[Bench]:
    """A bench on which floating tensors are copies, in `dtype` where one is given; all is as it was afterwards."""
    bench, default = Bench(foreign), torch.get_default_dtype()
    before = [(tensor, tensor.data, tensor.grad) for tensor in bench._held]
    try:
        for tensor in bench._held:
            tensor.grad = None
            tensor.data = tensor.data.to(dtype if dtype and tensor.is_floating_point() else tensor.dtype, copy=True)
        if dtype is not None:
            torch.set_default_dtype(dtype)
        with seeding.seeded(0, "foreign"):
            yield Bench(foreign)
    finally:
        torch.set_default_dtype(default)
        bench.put()
        for tensor, value, gradient in before:
            tensor.data, tensor.grad = value, gradient


def matched(adapted: Any, named: Mapping[str, Tensor]) -> Params:
    """The tensors in what `adapt` returned that stand for parameters: by their names, else by order and shape."""
    found = _tensors_in(adapted)
    by_name = {}
    for name, parameter in named.items():
        alike = [n for n in found if _is_same_name(n, name) and found[n].shape == parameter.shape]
        if len(alike) == 1:
            by_name[name] = found[alike[0]]
    return by_name or _in_order(list(found.values()), named)


def _in_order(found: list[Tensor], named: Mapping[str, Tensor]) -> Params:
    """Each tensor for the next parameter of its shape; nothing where one is left over."""
    left, pairs = iter(named.items()), {}
    for tensor in found:
        name = next((name for name, parameter in left if parameter.shape == tensor.shape), None)
        if name is None:
            return {}
        pairs[name] = tensor
    return pairs


def _is_same_name(a: str, b: str) -> bool:
    return a == b or a.endswith(f".{b}") or b.endswith(f".{a}")


def _tensors_in(adapted: Any) -> dict[str, Tensor]:
    if isinstance(adapted, Tensor):
        return {"": adapted}
    if isinstance(adapted, nn.Module):
        return dict(adapted.named_parameters())
    if not isinstance(adapted, Mapping | list | tuple):
        return {}
    parts = adapted.items() if isinstance(adapted, Mapping) else enumerate(adapted)
    return {".".join(filter(None, (str(key), n))): t for key, part in parts for n, t in _tensors_in(part).items()}
