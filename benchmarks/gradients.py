"""The check before the clock: in float64, from the same θ on the same tasks, all must compute the same."""

from collections.abc import Sequence

import numpy as np

from benchmarks.contestant import Answer
from benchmarks.problem import Setting
from benchmarks.roster import REFERENCE
from benchmarks.worker import PeerError, Worker

TOLERANCE = 1e-8
NEGLIGIBLE = 1e-4
"""Tensors smaller than this share of the largest are compared on its scale: a bias before a batch norm has no gradient
but rounding."""


def check(names: Sequence[str], setting: Setting) -> tuple[dict[str, float], dict[str, str]]:
    """The largest relative error of each contestant against the plain loop, and why the others have none."""
    errors: dict[str, float] = {}
    failed: dict[str, str] = {}
    with Worker(REFERENCE, setting) as worker:
        worker.wait()
        (expected,) = worker.answers()
    for name in names:
        with Worker(name, setting) as worker:
            try:
                worker.wait()
                errors[name] = max(relative_error(found, expected) for found in worker.answers())
            except PeerError as error:
                failed[name] = str(error)
    return errors, failed


def relative_error(found: Answer, expected: Answer) -> float:
    """The largest error of any tensor, relative to its own largest element; infinite where a gradient is missing.

    An evaluation that returns its loss alone is compared by that.
    """
    names = ["loss"] if "loss" in expected and "logits" not in found else list(expected)
    if not set(names) <= set(found):
        return float("inf")
    largest = max(_size(expected[name]) for name in names)
    return max(_size(found[name] - expected[name]) / max(_size(expected[name]), NEGLIGIBLE * largest) for name in names)


def _size(array: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(np.abs(array).max())
