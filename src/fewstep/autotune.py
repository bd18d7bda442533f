"""The choice of a mapping by the clock: a few candidates on real tasks, the fastest wins."""

import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from operator import itemgetter

import torch

from fewstep.core import Task, tensors_of
from fewstep.learner import Learner
from fewstep.mapping import Mapping, Workers
from fewstep.ranks import ALONE, Ranks
from fewstep.training import meta_gradient

logger = logging.getLogger(__name__)

NOTICEABLE = 1.1
"""The least gain that changes the choice: less may be noise."""
WORTH_A_TRACE = 1.05
"""The least gain of a trace, which gives what the mapping itself gives."""
WORTHWHILE = 1.5
"""The gain of one chunk size over the one before that makes a larger one worth trying: batching every task of a
convolutional net on a CPU is slow and takes gigabytes, so it is not even tried where small chunks gain little."""

LATER = 1000
"""An update at which an algorithm that anneals anything by itself is another than at the start."""
DEAR_SECONDS = 0.05
"""A thread that spends more on a task spends it on the task's arithmetic: chunks save no more than the Python around
it, some milliseconds, and hold several times the memory. They are not even tried."""
CHEAP_SECONDS = 0.2
"""An update that takes less is of a small net, of which every chunk size may be tried."""
MOST_TRIALS, ENOUGH_SECONDS = 10, 0.2
"""A mapping is timed until either: what takes milliseconds is at the mercy of whatever else the machine does."""


def available_threads(sharing: int = 1) -> int:
    """The processors that this process may use, where as many like it are on this machine."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, count // sharing)


def choose_mapping(learner: Learner, batch: Task, threads: int | None = None, ranks: Ranks = ALONE) -> Mapping:
    """The fastest mapping for meta-gradients of tasks like those of `batch`, whose tensors lead with `[T]`.

    Chunks grow while that pays. A net that cannot be vectorised keeps the loop, and one line says why. Of several
    `ranks` one alone measures, with its share of the tasks and of the processors.
    """
    if learner.model.is_stochastic:
        return Mapping()
    batch = batch.select(slice(0, None, ranks.count))
    count = len(batch.support.x)
    if batch.support.x.device.type != "cpu":
        return _batched(learner, batch)
    threads = min(available_threads(ranks.local_count) if threads is None else threads, count)
    best, seconds = _untraced(learner, batch, threads)
    is_whole = best.chunk >= -(-count // threads) > 1
    candidates = {Mapping(threads=threads), best, *([Mapping(chunk=count)] if is_whole else [])}
    return _traced(learner, batch, best, seconds, sorted(candidates, key=str))


def _untraced(learner: Learner, batch: Task, threads: int) -> tuple[Mapping, float]:
    """The fastest mapping that runs everything as written, and its seconds per task."""
    count, best = len(batch.support.x), Mapping(threads=threads)
    best_seconds = seconds_per_task(learner, batch, best)
    if threads * best_seconds > DEAR_SECONDS:
        return best, best_seconds
    for chunk in sorted({4, -(-count // threads), count} - {1}):
        mapping = Mapping(threads=min(threads, -(-count // chunk)), chunk=chunk)
        try:
            seconds = seconds_per_task(learner, batch, mapping)
        except RuntimeError as error:
            _say_why(error)
            break
        gain = best_seconds / seconds
        if gain > NOTICEABLE:
            best, best_seconds = mapping, seconds
        if gain < WORTHWHILE and count * best_seconds > CHEAP_SECONDS:
            break
    return best, best_seconds


def _traced(learner: Learner, batch: Task, best: Mapping, best_seconds: float, untraced: Sequence[Mapping]) -> Mapping:
    """The fastest trace of some mappings, where it is faster than the best mapping: small nets' are."""
    traces = [dataclasses.replace(mapping, execution="traced") for mapping in untraced]
    try:
        seconds, fastest = min(
            ((seconds_per_task(learner, batch, trace), trace) for trace in traces), key=itemgetter(0)
        )
        if best_seconds / seconds < WORTH_A_TRACE:
            return best
        is_same = _runs_again_alike(learner, batch, fastest)
    except (RuntimeError, ValueError) as error:
        logger.info("run as written: this net cannot be traced (%s)", str(error).partition("\n")[0])
        return best
    if not is_same:
        logger.info("run as written: the net or the algorithm counts its calls, which a trace would not")
        return best
    return fastest


def _runs_again_alike(learner: Learner, batch: Task, mapping: Mapping) -> bool:
    """Whether a trace still holds for other images and at a later update."""
    batch = batch.select(slice(0, mapping.threads * mapping.chunk))
    darker = Task(batch.support._replace(x=batch.support.x / 2), batch.query)
    written = dataclasses.replace(mapping, execution="eager")
    with Workers(learner.model, mapping) as again, Workers(learner.model, written) as anew:
        meta_gradient(learner, batch, again, 0)
        found, expected = (meta_gradient(learner, darker, workers, LATER)[0] for workers in (again, anew))
    pairs = zip(tensors_of(found), tensors_of(expected), strict=True)
    return all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in pairs)


def _batched(learner: Learner, batch: Task) -> Mapping:
    """All tasks at once, or as many as fit, as a GPU wants it; the loop where the net cannot be vectorised."""
    chunk = len(batch.support.x)
    while True:
        mapping = Mapping(chunk=chunk)
        try:
            return _traced(learner, batch, mapping, seconds_per_task(learner, batch, mapping), [mapping])
        except torch.OutOfMemoryError:
            if chunk == 1:
                raise
            chunk = -(-chunk // 2)
            torch.cuda.empty_cache()
        except RuntimeError as error:
            _say_why(error)
            return Mapping()


def _say_why(error: RuntimeError) -> None:
    logger.info("looping over tasks: this net cannot be vectorised (%s)", str(error).partition("\n")[0])


def seconds_per_task(learner: Learner, batch: Task, mapping: Mapping) -> float:
    """Wall seconds per task of a meta-gradient over every thread, after one that warms up: the least of some."""
    tasks = batch.select(slice(0, mapping.threads * mapping.chunk))
    with Workers(learner.model, mapping) as workers:
        meta_gradient(learner, tasks, workers, 0)
        taken: list[float] = []
        while len(taken) < MOST_TRIALS and sum(taken) < ENOUGH_SECONDS:
            began = time.perf_counter()
            meta_gradient(learner, tasks, workers, 0)
            taken.append(time.perf_counter() - began)
    seconds = min(taken) / len(tasks.support.x)
    logger.info("%s: %.2f ms per task", mapping, 1000 * seconds)
    return seconds
