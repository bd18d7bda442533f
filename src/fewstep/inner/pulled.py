"""The inner loop together with its pull-back: kept whole, or computed again one step at a time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from fewstep.algorithm import Algorithm
from fewstep.core import Examples, Inner, Meta, Params, map_tensors
from fewstep.differentiation import vjp
from fewstep.inner.loop import inner_states
from fewstep.model import Model

Learned = dict[str, Params]


class Pulled(NamedTuple):
    """What the inner loop came to, detached.

    `settled` are the parameters that queries are predicted with, after each of the steps asked for; `phis` those after
    0, 1, ... steps. `pull_back` takes a cotangent of each of `settled` to one of what was learned, once.
    """

    settled: list[Params]
    phis: list[Params]
    pull_back: Callable[[list[Params]], Learned]


def pulled(algorithm: Algorithm, model: Model, meta: Meta, support: Examples, at: Sequence[int]) -> Pulled:
    """The inner loop's whole graph is kept: memory grows with the steps. `at` are numbers of steps, rising."""

    def adapted(learned: Learned) -> tuple[list[Params], list[Params]]:
        path = inner_states(algorithm, model, Meta(learned, meta.state), support, at[-1])
        settled = [model.settle(path[i].phi, support.x, meta.state, i) for i in at]
        return settled, [inner.phi for inner in path]

    settled, pull_back, phis = vjp(adapted, meta.learned)
    return Pulled(settled, phis, pull_back)


def pulled_again(algorithm: Algorithm, model: Model, meta: Meta, support: Examples, at: Sequence[int]) -> Pulled:
    """Only φ_i and the optimizer's slots are kept; every step is computed again when it is pulled back.

    Gradients are those of `pulled`, to the last bit, for a third more time.
    """
    with torch.no_grad():
        path = inner_states(algorithm, model, meta, support, at[-1])
        settled = [model.settle(path[i].phi, support.x, meta.state, i) for i in at]

    def pull_back(cotangents: list[Params]) -> Learned:
        to_settled = dict(zip(at, cotangents, strict=True))
        total: Learned | None = None
        to_inner: Inner | None = None
        for i in reversed(range(at[-1] + 1)):
            to_learned, to_inner = _through(i, to_inner, to_settled.get(i))
            total = to_learned if total is None else map_tensors(torch.add, total, to_learned)
        _, pull, _ = vjp(lambda learned: (algorithm.start(model, Meta(learned, meta.state), support), ()), meta.learned)
        assert total is not None
        return map_tensors(torch.add, total, pull(to_inner))

    def _through(i: int, to_next: Inner | None, to_settled: Params | None) -> tuple[Learned, Inner]:
        """From the state after i + 1 steps and φ_i as settled, to what was learned and the state after i steps."""

        def onward(given: tuple[Learned, Inner]) -> tuple[tuple[list[Inner], list[Params]], tuple[()]]:
            learned, inner = given
            now = Meta(learned, meta.state)
            following = [] if to_next is None else [algorithm.step(model, now, inner, support, i)]
            return (following, [] if to_settled is None else [model.settle(inner.phi, support.x, meta.state, i)]), ()

        _, pull, _ = vjp(onward, (meta.learned, path[i]))
        back: tuple[Learned, Inner] = pull(
            ([] if to_next is None else [to_next], [] if to_settled is None else [to_settled])
        )
        return back

    phis = [map_tensors(torch.detach, inner.phi) for inner in path]
    return Pulled([map_tensors(torch.detach, phi) for phi in settled], phis, pull_back)
