"""The inner loop, written once: `adapt` and `trajectory` over an algorithm's `step`."""

from fewstep.algorithm import Algorithm
from fewstep.core import Examples, Inner, Meta, Params
from fewstep.model import Model


def adapt(algorithm: Algorithm, model: Model, meta: Meta, support: Examples, steps: int) -> Params:
    """The parameters after `steps` inner steps, settled for queries."""
    inner = algorithm.start(model, meta, support)
    for i in range(steps):
        inner = algorithm.step(model, meta, inner, support, i)
    return model.settle(inner.phi, support.x, meta.state, steps)


def trajectory(algorithm: Algorithm, model: Model, meta: Meta, support: Examples, steps: int) -> list[Params]:
    """The settled parameters after 0, 1, ..., `steps` inner steps."""
    path = inner_states(algorithm, model, meta, support, steps)
    return [model.settle(inner.phi, support.x, meta.state, i) for i, inner in enumerate(path)]


def inner_states(algorithm: Algorithm, model: Model, meta: Meta, support: Examples, steps: int) -> list[Inner]:
    """The inner loop's state after 0, 1, ..., `steps` inner steps, not settled."""
    path = [algorithm.start(model, meta, support)]
    for i in range(steps):
        path.append(algorithm.step(model, meta, path[-1], support, i))
    return path
