"""Who takes part, by name; each is imported only where it runs, for it may not be installed."""

from collections.abc import Callable

from benchmarks.contestant import Contestant
from benchmarks.problem import Setting

REFERENCE = "plain"
"""Whose float64 gradient the others' are compared with."""
SUBJECT = "fewstep"
"""Whose time the others' are divided by."""

SLOW_ON_CONVOLUTIONS = {"jax": "all tasks in one vmap take most of a minute an iteration; `--only jax` times it"}
"""Who is timed on images only where it is named, and why."""


def build(name: str, setting: Setting) -> Contestant:
    """The contestant, ready to iterate.

    Raises `NotDrivenError` where it cannot run the workload, `ImportError` where its package is missing.
    """
    return CONTESTANTS[name](setting)


def _fewstep(setting: Setting) -> Contestant:
    from benchmarks.fewstep_ import eager

    return eager(setting)


def _fewstep_compiled(setting: Setting) -> Contestant:
    from benchmarks.fewstep_ import compiled

    return compiled(setting)


def _plain(setting: Setting) -> Contestant:
    from benchmarks.peers.plain_loop import PlainLoop
    from benchmarks.task_loop import TaskLoop

    return TaskLoop(setting, PlainLoop(setting))


def _learn2learn(setting: Setting) -> Contestant:
    from benchmarks.peers.learn2learn_ import Learn2Learn
    from benchmarks.task_loop import TaskLoop

    return TaskLoop(setting, Learn2Learn(setting))


def _higher(setting: Setting) -> Contestant:
    from benchmarks.peers.higher_ import Higher
    from benchmarks.task_loop import TaskLoop

    return TaskLoop(setting, Higher(setting))


def _torchopt(setting: Setting) -> Contestant:
    from benchmarks.peers.torchopt_ import TorchOpt
    from benchmarks.task_loop import TaskLoop

    return TaskLoop(setting, TorchOpt(setting))


def _jax(setting: Setting) -> Contestant:
    from benchmarks.peers.jax_ import vectorised

    return vectorised(setting)


def _jax_rewritten(setting: Setting) -> Contestant:
    from benchmarks.peers.jax_ import rewritten

    return rewritten(setting)


def _parallel_metalearn(setting: Setting) -> Contestant:
    from benchmarks.peers.parallel_metalearn_ import ParallelMetalearn

    return ParallelMetalearn(setting, "vmap")


def _parallel_metalearn_sequential(setting: Setting) -> Contestant:
    from benchmarks.peers.parallel_metalearn_ import ParallelMetalearn

    return ParallelMetalearn(setting, "sequential")


CONTESTANTS: dict[str, Callable[[Setting], Contestant]] = {
    "fewstep": _fewstep,
    "fewstep-compiled": _fewstep_compiled,
    "plain": _plain,
    "learn2learn": _learn2learn,
    "higher": _higher,
    "torchopt": _torchopt,
    "jax": _jax,
    "jax-rewritten": _jax_rewritten,
    "parallel-metalearn": _parallel_metalearn,
    "parallel-metalearn-sequential": _parallel_metalearn_sequential,
}
