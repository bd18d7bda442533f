"""What is timed: seven workloads of 5-way 1-shot images on Conv4 (a to g), and sinusoids on a small MLP (W2)."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.flops import conv4_layers, mlp_layers, passes
from fewstep.inner.adagrad import Adagrad
from fewstep.inner.sgd import SGD

WAYS, SIDE, FILTERS, HIDDEN = 5, 28, 64, 40

CONV4 = conv4_layers(channels=1, side=SIDE, filters=FILTERS, outputs=WAYS)
PLAIN = SGD()
MLP = mlp_layers(1, HIDDEN, HIDDEN, 1)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One iteration: the meta-gradient of a meta-batch and one Adam step; predictions alone where it evaluates."""

    about: str
    net: Literal["conv4", "mlp"] = "conv4"
    kind: Literal["maml", "reptile", "evaluation"] = "maml"
    order: Literal[1, 2] = 2
    steps: int = 1
    optimizer: SGD | Adagrad = PLAIN
    support: int = WAYS
    queries: int = 75
    meta_batch: int = 32
    inner_lr: float = 0.4
    checked_inner_lr: float = 0.01
    """the inner rate of the float64 check: at 0.4 five steps on noise amplify rounding too much to compare"""

    def flops(self, meta_batch: int) -> float:
        """Floating-point operations that any exact method takes for an iteration of so many tasks."""
        net = passes(CONV4 if self.net == "conv4" else MLP)
        step = net.second_order if (self.kind, self.order) == ("maml", 2) else net.first_order
        query = {"maml": net.first_order, "reptile": 0, "evaluation": net.forward}[self.kind]
        return 2.0 * meta_batch * (self.steps * self.support * step + self.queries * query)

    def floor_seconds(self, meta_batch: int, gflops_per_second: float) -> float:
        """An iteration's `flops` at the rate of a large matrix product."""
        return self.flops(meta_batch) / (gflops_per_second * 1e9)


WORKLOADS = {
    "a": Workload(about="MAML, second order, 1 step, 75 queries"),
    "b": Workload(about="MAML, first order, 1 step, 75 queries", order=1),
    "c": Workload(about="MAML, second order, 5 steps, 75 queries", steps=5),
    "d": Workload(
        about="MAML, second order, 5 steps of Adagrad (ε = 0.7 inside the root), 75 queries",
        steps=5,
        optimizer=Adagrad(eps_inside=0.7),
    ),
    "e": Workload(about="Reptile, 5 SGD steps on the support set", kind="reptile", steps=5, queries=5),
    "f": Workload(about="MAML, second order, 1 step, 5 queries", queries=5),
    "g": Workload(about="evaluation: 5 steps and 75 predictions", kind="evaluation", steps=5),
    "W2": Workload(
        about="sinusoids, MLP 1-40-40-1, 10 + 10 points, second order, 1 step",
        net="mlp",
        support=10,
        queries=10,
        meta_batch=25,
        inner_lr=0.01,
    ),
}
