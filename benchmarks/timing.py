"""Interleaved timing: rounds over all contestants, so that a noisy minute hits all of them alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.worker import PeerError, Worker


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to measure."""

    rounds: int
    warm_up: int = 2
    """iterations before the first that counts, two or more"""
    sample_seconds: float = 0.5
    """a sample is the mean of as many iterations as fit, at least one"""
    slow_seconds: float = 5.0
    slow_rounds: int = 2
    """of a contestant whose iterations take longer"""
    pause_seconds: float = 0.2
    """before every sample: threads that spin after their work come to rest"""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds per iteration."""

    median: float
    lower_quartile: float
    upper_quartile: float
    samples: list[float]


def interleaved(
    workers: Sequence[Worker], pace: Pace, see: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, Timing], dict[str, str]]:
    """Timings by contestant, and why the others have none.

    Each round starts one contestant later than the one before.
    """
    iterations: dict[str, int] = {}
    rounds: dict[str, int] = {}
    samples: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    for worker in workers:
        try:
            worker.seconds(1)  # which compiles, where anything does
            taken = worker.seconds(pace.warm_up - 1)
            is_slow = taken > pace.slow_seconds
            iterations[worker.name] = max(1, round(pace.sample_seconds / taken))
            rounds[worker.name] = min(pace.rounds, pace.slow_rounds) if is_slow else pace.rounds
            samples[worker.name] = []
        except PeerError as error:
            failed[worker.name] = str(error)
    for number in range(pace.rounds):
        see(f"round {number + 1} of {pace.rounds}")
        first = number % len(workers)
        for worker in [*workers[first:], *workers[:first]]:
            if worker.name in failed or number >= rounds[worker.name]:
                continue
            time.sleep(pace.pause_seconds)
            try:
                samples[worker.name].append(1000 * worker.seconds(iterations[worker.name]))
            except PeerError as error:
                failed[worker.name] = str(error)
    return {name: timing(found) for name, found in samples.items() if name not in failed}, failed


def timing(samples: list[float]) -> Timing:
    """Median and quartiles of milliseconds."""
    lower, median, upper = statistics.quantiles(samples, n=4, method="inclusive") if samples[1:] else 3 * samples
    return Timing(median=median, lower_quartile=lower, upper_quartile=upper, samples=samples)
