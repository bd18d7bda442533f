"""A learner: a model, an algorithm, and what meta-training has learned so far."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fewstep import seeding
from fewstep.algorithm import Algorithm
from fewstep.core import Examples, Meta, Params, Task, map_tensors, tensors_of
from fewstep.differentiation import is_transforming
from fewstep.inner.loop import adapt
from fewstep.model import Loss, Model, embedded_model_of, model_of
from fewstep.nets.norm import WITHOUT_BATCH, Norm, has_batch_norm


@dataclass(frozen=True, kw_only=True)
class Learner:
    """`adapt` turns a support set into named parameters φ; `predict` uses them. Both are differentiable."""

    model: Model
    algorithm: Algorithm
    meta: Meta

    def adapt(self, support: Examples, steps: int | None = None) -> Params:
        """φ after `steps` inner steps (default: as in training), differentiable in `self.parameters()`."""
        steps = self.algorithm.inner_steps if steps is None else steps
        model = self.model
        if self.algorithm.makes_head and not is_transforming():  # under a vmap no value can be read
            model = self.for_ways(_ways_of(support.y)).model
        return adapt(self.algorithm, model, self.meta, support._replace(x=_as_new(support.x)), steps)

    def predict(self, phi: Params, x: Tensor) -> Tensor:
        """Logits `[M, ways]`, or values `[M, D]`."""
        return self.algorithm.predict(self.model, phi, _as_new(x))

    def parameters(self) -> list[Tensor]:
        """Every learned tensor, for an outer optimizer of one's own."""
        return tensors_of(self.meta.learned)

    @property
    def device(self) -> torch.device:
        """Where the learned tensors are."""
        return self.parameters()[0].device

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Learner":
        """A copy on `device`, floating tensors in `dtype`; nothing in it requires a gradient."""
        meta = map_tensors(lambda tensor: tensor.detach().to(device, dtype, copy=True), self.meta)
        return Learner(model=self.model.to(device, dtype), algorithm=self.algorithm, meta=meta)

    def for_evaluation(self) -> "Learner":
        """This learner as it is tested: its net in evaluation mode, nothing requiring a gradient."""
        meta = map_tensors(torch.detach, self.meta)
        return Learner(model=self.model.for_evaluation(), algorithm=self.algorithm, meta=meta)

    def under(self, norm: Literal["transductive", "support"]) -> "Learner":
        """This learner, to be tested with its queries on the statistics of another policy than its own.

        Raises `ValueError` where its own has replaced the batch norms.
        """
        if self.model.norm in WITHOUT_BATCH:
            raise ValueError(
                f"norm={norm!r} is about batch norms, and the policy '{self.model.norm}' of this learner has none left"
            )
        model = _model(self.model.net, self.algorithm, self.model.loss_name, norm)
        seen = dataclasses.replace(model, is_stochastic=self.model.is_stochastic, ways=self.model.ways)
        return dataclasses.replace(self, model=seen)

    def each_alone(self) -> "Learner":
        """This learner, each of its predictions its own: a transductive one on the support set's statistics."""
        is_mixing = self.model.norm == "transductive" and has_batch_norm(self.model.net)
        return self.under("support") if is_mixing else self

    def on(self, device: torch.device | str) -> "Learner":
        """A copy on a device that a user has named. Raises `ValueError` where it cannot be used."""
        try:
            return self.to(torch.device(device))
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device={str(device)!r} cannot be used: {str(error).splitlines()[0]}") from error

    def for_ways(self, ways: int) -> "Learner":
        """This learner for tasks of `ways` classes, where its algorithm makes a head for each; else as it is."""
        if not self.algorithm.makes_head or self.model.ways == ways:
            return self
        return dataclasses.replace(self, model=dataclasses.replace(self.model, ways=ways))

    def checked(self, task: Task, outputs: int) -> "Learner":
        """This learner, knowing what its net was seen to do: draw random numbers, mix the queries of a batch.

        Raises `ValueError` unless the net maps a support set to `outputs` columns and the loss fits the targets.
        Where the algorithm makes its heads, the net's own may have any number of columns.
        """
        model, support = self.for_ways(outputs).model, task.support
        with torch.no_grad(), seeding.seeded(0, "checked"):
            outputs_at_theta, draws = _watched(model, model.parameters(), support.x)
            width = outputs_at_theta.shape[-1] if self.algorithm.makes_head else outputs
            _check_outputs(outputs_at_theta, support, width, model.is_classifier)
            _check_head(model, support.x)
            tested = model.for_evaluation()
            if _watched(tested, tested.parameters(), support.x)[1]:
                raise ValueError(
                    "the net draws random numbers in evaluation mode too, so no test of it could be repeated; "
                    "pass training=self.training to F.dropout and the like"
                )
            state = map_tensors(torch.detach, self.meta.state)
            mixes = _mixes_queries(tested, state, support.x, task.query.x)
        seen = dataclasses.replace(
            model,
            is_stochastic=model.is_stochastic or draws,
            is_transductive=model.is_transductive or mixes,
        )
        _check_recomputation(self.algorithm, seen)
        return dataclasses.replace(self, model=seen)


def _model(net: nn.Module, algorithm: Algorithm, loss: Loss, norm: Norm) -> Model:
    """The net as `algorithm` takes it."""
    made = embedded_model_of if algorithm.makes_head else model_of
    return made(net, loss=loss, norm=norm, head=algorithm.head)


def _check_recomputation(algorithm: Algorithm, model: Model) -> None:
    if model.is_stochastic and getattr(algorithm, "recompute", False):
        raise ValueError("recompute=True computes every inner step twice, and this net draws other numbers each time")


def _as_new(x: Tensor) -> Tensor:
    """The same in a tensor that no net has seen: what a net keeps of its last inputs knows no writes by numpy."""
    return x.view_as(x)


def _watched(model: Model, theta: Params, x: Tensor) -> tuple[Tensor, bool]:
    """The outputs, and whether torch's global generator has moved."""
    before = torch.get_rng_state()
    return model.support_outputs(theta, x), not torch.equal(before, torch.get_rng_state())


def _mixes_queries(model: Model, state: dict[str, Params], support_x: Tensor, query_x: Tensor) -> bool:
    """Whether the first query's outputs change with the other queries, at parameters none of which is zero."""
    near = {name: value + 0.1 * torch.randn_like(value) for name, value in model.parameters().items()}
    phi = model.settle(near, support_x, state, 0)
    halves = query_x[1:] / 2 if query_x.is_floating_point() else query_x[1:] // 2
    others = torch.cat([query_x[:1], halves])
    first, with_others = model.query_outputs(phi, query_x)[0], model.query_outputs(phi, others)[0]
    return not torch.allclose(first, with_others, rtol=1e-4, atol=1e-5)


def _ways_of(y: Tensor) -> int:
    """The classes of a support set, which are to be numbered from 0 without gaps."""
    counts = y.bincount()
    if not counts.all():
        missing = (counts == 0).nonzero()[0].item()
        raise ValueError(f"class {missing} of 0 to {len(counts) - 1} has no example in the support set: leave no gaps")
    return len(counts)


def _check_head(model: Model, x: Tensor) -> None:
    """Where the head is made for a task, nothing may come behind it: the embedding is what it takes in."""
    if model.embedding is None:
        return
    model = model.without_dropout()
    assert model.embedding is not None
    theta, head = model.parameters(), model.net.get_submodule(str(model.head))
    behind = head(model.embedding.support_outputs(theta, x))
    found = model.support_outputs(theta, x)
    if behind.shape != found.shape or not torch.allclose(behind, found, rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"the net does something behind '{model.head}', which was taken for its head: "
            f"return what the head returns, or name the head with algorithm.head"
        )


def _check_outputs(found: Tensor, support: Examples, outputs: int, is_classifier: bool) -> None:
    if is_classifier == support.y.is_floating_point():
        kind, loss = ("values", "mean_squared_error") if is_classifier else ("class ids", "mean_cross_entropy")
        raise ValueError(f"the targets of these tasks are {kind}: set loss='{loss}'")
    if found.dim() != 2 or found.shape[1] != outputs:
        what = "ways" if is_classifier else "target dimensions"
        raise ValueError(
            f"the net's output has shape {list(found.shape)}, but the tasks have {outputs} {what}: "
            f"expected [{len(support.x)}, {outputs}]; give the net's last layer {outputs} outputs"
        )


def learner_of(
    net: nn.Module,
    algorithm: Algorithm,
    *,
    loss: Loss = "mean_cross_entropy",
    norm: Norm = "transductive",
    seed: int = 0,
    ways: int | None = None,
) -> Learner:
    """A learner at the start of meta-training, with its learned tensors ready for an outer loop of one's own.

    The net is copied; θ starts from its parameters. Learned tensors are leaves that require gradients. `ways` is the
    number of classes of the training tasks, for algorithms that make heads; by default that of the support set.
    """
    model = dataclasses.replace(_model(net, algorithm, loss, norm), ways=ways if algorithm.makes_head else None)
    _check_recomputation(algorithm, model)
    generator = torch.Generator().manual_seed(seeding.torch_seed(seed, "init"))
    meta = algorithm.init(model, generator)
    learned = map_tensors(lambda tensor: tensor.detach().requires_grad_(), meta.learned)
    return Learner(model=model, algorithm=algorithm, meta=Meta(learned, meta.state))
