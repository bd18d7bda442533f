import subprocess
import sys

import pytest

FAULTS = """
import resource
import sys

import torch

from fewstep.allocation import keep_freed_memory

if "keep" in sys.argv:
    print(keep_freed_memory(), end=" ")
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(5 * 2**20) for _ in range(4)]  # 20 MiB each, written
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Pages that fault in ten rounds of the same allocations, after two that warm up."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an allocator of Linux")
def test_blocks_that_were_freed_are_used_again_without_a_page_fault():
    def faults(*how: str) -> list[str]:
        words = [sys.executable, "-c", FAULTS, *how]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    could, kept = faults("keep")
    if could == "False":
        pytest.skip("the C library is another one than glibc")
    (usual,) = faults()
    assert int(usual) > 10 * 4 * 5120 / 2  # 20 MiB are 5120 pages
    assert int(kept) < int(usual) / 3
