"""JAX and optax: a whole iteration under one `jit`, the tasks by `vmap`; and the best rewrite for convolutions."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from benchmarks.contestant import Answer, NotDrivenError
from benchmarks.peers import jax_nets
from benchmarks.peers.jax_nets import Weights
from benchmarks.problem import Setting, tasks_of, theta_of
from benchmarks.workloads import Workload
from fewstep.inner.adagrad import Adagrad

Net = Callable[[Weights, jax.Array], jax.Array]
Tasks = dict[str, jax.Array]
"""`support_x`, `support_y`, `query_x`, `query_y`, each leading with `[T]`, or one task's without it."""


class Jax:
    """One jitted iteration; θ and Adam's state never leave the device."""

    def __init__(self, setting: Setting, net: Net, over_tasks: Callable[..., Any], how: str) -> None:
        self.how = how
        self._workload = setting.workload
        arrays = {name: value.detach().cpu().numpy() for name, value in theta_of(setting).items()}
        batch = tasks_of(setting).to("cpu")
        self._theta: Weights = jax.device_put(arrays)
        self._tasks: Tasks = jax.device_put(
            {
                "support_x": batch.support.x.numpy(),
                "support_y": batch.support.y.numpy(),
                "query_x": batch.query.x.numpy(),
                "query_y": batch.query.y.numpy(),
            }
        )
        adam = optax.adam(1e-3)
        self._slots = adam.init(self._theta)
        evaluates = setting.workload.kind == "evaluation"
        one = partial(_predictions if evaluates else _gradient, net, setting.workload, setting.inner_lr)

        def mapped(theta: Weights, tasks: Tasks) -> Any:
            return over_tasks(partial(one, theta), tasks)

        def update(theta: Weights, slots: Any, tasks: Tasks) -> tuple[Weights, Any]:
            gradient = jax.tree.map(lambda stacked: stacked.mean(0), mapped(theta, tasks))
            change, slots = adam.update(gradient, slots)
            return optax.apply_updates(theta, change), slots

        self._mapped = jax.jit(mapped)
        self._update = jax.jit(update, donate_argnums=(0, 1))

    def answers(self) -> list[Answer]:
        """The mean of the tasks' gradients, or logits and their loss."""
        found = self._mapped(self._theta, self._tasks)
        if self._workload.kind == "evaluation":
            losses = jax.vmap(partial(_loss, self._workload))(found, self._tasks["query_y"])
            return [_as_answer({"logits": found, "loss": losses.mean()})]
        return [_as_answer(jax.tree.map(lambda stacked: stacked.mean(0), found))]

    def iterate(self) -> None:
        """One iteration, waited for."""
        if self._workload.kind == "evaluation":
            jax.block_until_ready(self._mapped(self._theta, self._tasks))
        else:
            self._theta, self._slots = self._update(self._theta, self._slots, self._tasks)
            jax.block_until_ready(self._theta)


def vectorised(setting: Setting) -> Jax:
    """`jit(vmap)` of the net as one would write it first."""
    _configure(setting)
    net = jax_nets.mlp if setting.workload.net == "mlp" else jax_nets.conv4
    return Jax(setting, net, _vmapped, "jit(vmap) of all tasks")


class Fastest:
    """The fastest of several ways, by the clock, from the first iteration on."""

    def __init__(self, ways: list[Jax]) -> None:
        self.how = "not yet chosen"
        self._ways = ways
        self._chosen: Jax | None = None

    def answers(self) -> list[Answer]:
        """Of every way."""
        return [answer for way in self._ways for answer in way.answers()]

    def iterate(self) -> None:
        """One iteration of the fastest."""
        if self._chosen is None:
            self._chosen = min(self._ways, key=_seconds)
            self.how, self._ways = self._chosen.how, [self._chosen]
        self._chosen.iterate()


def rewritten(setting: Setting) -> Fastest:
    """What is known to help XLA with the convolutions of many tasks."""
    if setting.workload.net == "mlp":
        raise NotDrivenError("there is no convolution to rewrite")
    _configure(setting)
    ways = [
        Jax(setting, jax_nets.conv4_rewritten, _vmapped, "patches × matrix, vmap of all tasks"),
        Jax(setting, jax_nets.conv4_rewritten, _one_by_one, "patches × matrix, task by task"),
        Jax(setting, jax_nets.conv4, _one_by_one, "XLA's convolutions, task by task"),
    ]
    return Fastest(ways)


def _configure(setting: Setting) -> None:
    jax.config.update("jax_enable_x64", setting.dtype == "float64")
    jax.config.update("jax_platforms", "cpu" if setting.device == "cpu" else "cuda")
    jax.config.update("jax_default_matmul_precision", "highest")  # no TF32: PyTorch's products are float32 too


def _seconds(way: Jax) -> float:
    way.iterate()
    began = time.perf_counter()
    way.iterate()
    return time.perf_counter() - began


def _vmapped(function: Callable[[Tasks], Any], tasks: Tasks) -> Any:
    return jax.vmap(function)(tasks)


def _one_by_one(function: Callable[[Tasks], Any], tasks: Tasks) -> Any:
    return lax.map(function, tasks)


def _gradient(net: Net, workload: Workload, inner_lr: float, theta: Weights, task: Tasks) -> Weights:
    """One task's meta-gradient, or Reptile's θ − φ."""
    if workload.kind == "reptile":
        direction: Weights = jax.tree.map(jnp.subtract, theta, _adapted(net, workload, inner_lr, theta, task))
        return direction

    def query_loss(theta: Weights) -> jax.Array:
        phi = _adapted(net, workload, inner_lr, theta, task)
        return _loss(workload, net(phi, task["query_x"]), task["query_y"])

    gradient: Weights = jax.grad(query_loss)(theta)
    return gradient


def _predictions(net: Net, workload: Workload, inner_lr: float, theta: Weights, task: Tasks) -> jax.Array:
    return net(_adapted(net, workload, inner_lr, theta, task), task["query_x"])


def _adapted(net: Net, workload: Workload, inner_lr: float, theta: Weights, task: Tasks) -> Weights:
    def support_loss(phi: Weights) -> jax.Array:
        return _loss(workload, net(phi, task["support_x"]), task["support_y"])

    rule, phi = workload.optimizer, theta
    sums = jax.tree.map(jnp.zeros_like, theta)
    for _ in range(workload.steps):
        gradient: Weights = jax.grad(support_loss)(phi)
        if workload.order == 1:
            gradient = lax.stop_gradient(gradient)
        if isinstance(rule, Adagrad):
            sums = jax.tree.map(lambda total, g: total + g * g, sums, gradient)
            gradient = jax.tree.map(lambda g, total: g / jnp.sqrt(total + rule.eps_inside), gradient, sums)
        phi = jax.tree.map(lambda value, g: value - inner_lr * g, phi, gradient)
    return phi


def _loss(workload: Workload, outputs: jax.Array, y: jax.Array) -> jax.Array:
    if workload.net == "mlp":
        return ((outputs - y) ** 2).mean()
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()


def _as_answer(arrays: Weights) -> Answer:
    return {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}
