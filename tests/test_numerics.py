"""All ways to compute a meta-gradient agree: see numerics for the cases, and for the long variant."""

import json
import re
from pathlib import Path

import pytest
import torch

from numerics import Case, try_many

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")

TRUST = Path(__file__).parent.parent / "results" / "trust"


def test_loop_threads_vmap_and_two_processes_agree_on_random_learners_in_float64():
    seen: list[Case] = []
    try_many(15, seen.append)
    assert len({type(case.algorithm) for case in seen}) > 3
    assert len({case.norm for case in seen}) > 3


def test_the_cases_that_the_document_states_were_recorded():
    record = json.loads((TRUST / "numerics.json").read_text())
    assert record["cases"] == record["cases that agree"] == sum(record["norm policies"].values()) >= 500
    stated = re.search(r"(\d+) random cases", (TRUST / "README.md").read_text())
    assert int(stated[1]) == record["cases"]
