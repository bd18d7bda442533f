"""All ways to compute a meta-gradient agree: see numerics for the cases, and for the long variant."""

import pytest
import torch

from numerics import Case, try_many

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")


def test_loop_threads_vmap_and_two_processes_agree_on_random_learners_in_float64():
    seen: list[Case] = []
    try_many(15, seen.append)
    assert len({type(case.algorithm) for case in seen}) > 3
    assert len({case.norm for case in seen}) > 3
