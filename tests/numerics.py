"""Random learners whose meta-gradient is computed in every way there is, in float64: all ways agree.

`python tests/numerics.py results/trust/numerics.json` is the long variant, which is recorded; test_numerics has a few.
"""

import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st
from torch import nn

from builders import NORMS, RULES, SMOOTH_RULES, smooth_net, smooth_task, stacked
from fewstep.algorithm import Algorithm
from fewstep.algorithms.alfa import ALFA
from fewstep.algorithms.anil import ANIL
from fewstep.algorithms.boil import BOIL
from fewstep.algorithms.cavia import CAVIA
from fewstep.algorithms.imaml import IMAML
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.matching_net import MatchingNet
from fewstep.algorithms.meta_sgd import MetaSGD
from fewstep.algorithms.proto_maml import ProtoMAML
from fewstep.algorithms.protonet import ProtoNet
from fewstep.algorithms.r2d2 import R2D2
from fewstep.algorithms.reptile import Reptile
from fewstep.core import MetaGradient, tensors_of
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.nets.norm import Norm
from fewstep.ranks import ALONE, Ranks
from fewstep.torchrun import join
from fewstep.training import meta_gradient
from fewstep.versions import versions

SEED, LONG = 0, 600
LOOP = Mapping()
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"softplus": nn.Softplus, "tanh": nn.Tanh, "relu": nn.ReLU}


class Case(NamedTuple):
    """A learner and a meta-batch; `threads` and `chunk` for the mappings beside the loop."""

    algorithm: Algorithm
    norm: Norm
    activation: str
    channels: int
    ways: int
    shots: int
    queries: int
    tasks: int
    update: int
    threads: int
    chunk: int

    def learner(self) -> Learner:
        """Raises `ValueError` where algorithm and policy do not go together."""
        net = smooth_net(self.ways, self.channels, ACTIVATIONS[self.activation])
        return learner_of(net, self.algorithm, norm=self.norm).for_ways(self.ways)

    def outcome(self, mapping: Mapping, ranks: Ranks = ALONE) -> MetaGradient:
        """The mean over the meta-batch."""
        learner = self.learner()
        tasks = stacked([smooth_task(i, self.ways, self.shots, self.queries) for i in range(self.tasks)])
        with Workers(learner.model, mapping, ranks=ranks) as workers:
            return meta_gradient(learner, tasks, workers, self.update)[0]


@st.composite
def algorithms(draw: st.DrawFn) -> Algorithm:
    """Any that is trained by meta-gradients, with rates at which nothing diverges."""
    lr, steps, order = draw(st.floats(0.01, 0.2)), draw(st.integers(1, 4)), draw(st.sampled_from([1, 2]))
    optimizer, flag = RULES[draw(st.sampled_from(SMOOTH_RULES))].ours, draw(st.booleans())
    inner: dict[str, Any] = {"inner_lr": lr, "inner_steps": steps}
    made: dict[str, Callable[[], Algorithm]] = {
        "maml": lambda: MAML(**inner, order=order, optimizer=optimizer, learn_inner_lr=flag),
        "maml++": lambda: MAMLPlusPlus(
            **inner, learn_inner_lr=True, multi_step_epochs=2, first_order_epochs=1, epoch=1, per_step_norm=flag
        ),
        "reptile": lambda: Reptile(**inner, inner_batch=draw(st.integers(1, 4)), optimizer=optimizer),
        "anil": lambda: ANIL(**inner, order=order),
        "boil": lambda: BOIL(**inner, order=order),
        "meta-sgd": lambda: MetaSGD(inner_steps=steps, order=order),
        "imaml": lambda: IMAML(**inner, cg_steps=3),
        "cavia": lambda: CAVIA(inner_steps=steps, context_size=3, order=order),
        "alfa": lambda: ALFA(**inner),
        "protonet": ProtoNet,
        "matching net": lambda: MatchingNet(scale=4.0),
        "r2d2": R2D2,
        "proto-maml": lambda: ProtoMAML(**inner, order=order),
    }
    return made[draw(st.sampled_from(sorted(made)))]()


def cases() -> st.SearchStrategy[Case]:
    """Small ones."""
    few = st.integers(1, 3)
    return st.builds(
        Case,
        algorithms(),
        st.sampled_from(NORMS),
        st.sampled_from(sorted(ACTIVATIONS)),
        channels=st.integers(2, 4),
        ways=st.integers(2, 4),
        shots=few,
        queries=few,
        tasks=st.integers(1, 5),
        update=st.integers(0, 3),
        threads=st.integers(2, 4),
        chunk=st.integers(2, 6),
    )


class Pair:
    """Two processes of one group that compute what they are asked to, one case after the other."""

    def __init__(self, processes: list["subprocess.Popen[bytes]"]) -> None:
        self._processes = processes

    def outcomes(self, case: Case) -> list[MetaGradient]:
        """Of both ranks."""
        for process in self._processes:
            assert process.stdin is not None
            pickle.dump(case, process.stdin)
            process.stdin.flush()
        return [pickle.load(process.stdout) for process in self._processes if process.stdout]


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    """Started as torchrun starts them; ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__], env={**os.environ, **where, "RANK": str(i), "LOCAL_RANK": str(i)}, **pipes
        )
        for i in range(2)
    ]
    try:
        yield Pair(processes)
    finally:
        for process in processes:
            process.communicate()  # closes its input, which ends it


def answer() -> None:
    """What a process of a pair does."""
    torch.set_num_threads(1)
    ranks, out = join(), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(EOFError):
        while True:
            pickle.dump(pickle.load(sys.stdin.buffer).outcome(LOOP, ranks), out)
            out.flush()


def assert_all_ways_agree(case: Case, pair: Pair) -> None:
    """Threads with the loop bit for bit, both ranks with each other too; a vmap and two processes to 1e-10."""
    loop = case.outcome(LOOP)
    largest = max(tensor.abs().max().item() for tensor in tensors_of(loop))
    rounding = {"rtol": 1e-10, "atol": 1e-10 * max(1.0, largest), "check_stride": False}
    exact = {"rtol": 0, "atol": 0, "check_stride": False}
    assert all(tensor.dtype == torch.float64 and tensor.isfinite().all() for tensor in tensors_of(loop))
    torch.testing.assert_close(case.outcome(Mapping(threads=case.threads)), loop, **exact)
    torch.testing.assert_close(case.outcome(Mapping(chunk=case.chunk)), loop, **rounding)
    torch.testing.assert_close(case.outcome(Mapping(threads=case.threads, chunk=case.chunk)), loop, **rounding)
    first, second = pair.outcomes(case)
    torch.testing.assert_close(first, loop, **rounding)
    torch.testing.assert_close(second, first, **exact)


def try_many(count: int, see: Callable[[Case], object] = lambda case: None) -> None:
    """So many cases, the same every time."""
    with pair() as both:

        @seed(SEED)
        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(cases())
        def agree(case: Case) -> None:
            try:
                case.learner()
            except ValueError:
                assume(False)
            assert_all_ways_agree(case, both)
            see(case)

        agree()


def long_variant(out: Path) -> None:
    """Many cases, and a record of how many of each."""
    torch.set_num_threads(1)
    began, seen = time.monotonic(), list[Case]()
    try_many(LONG, seen.append)
    record = {
        "command": f"python tests/numerics.py {out}",
        "seed": SEED,
        "commit": versions()["commit"],
        "seconds": round(time.monotonic() - began),
        "cases": len(seen),
        "algorithms": dict(sorted(Counter(type(case.algorithm).__name__ for case in seen).items())),
        "norm policies": dict(sorted(Counter(case.norm for case in seen).items())),
        "cases that agree": len(seen),
    }
    out.write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write(out.read_text())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        long_variant(Path(sys.argv[1]))
    else:
        answer()
