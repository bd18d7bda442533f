import subprocess
import sys

import pytest

FAULTS = """
import resource
import sys
from concurrent.futures import ThreadPoolExecutor

import torch

from fewstep.algorithms.maml import MAML
from fewstep.allocation import keep_freed_memory
from fewstep.core import Examples, Task
from fewstep.learner import learner_of
from fewstep.nets.conv4 import Conv4

if "keep" in sys.argv:
    print(keep_freed_memory(), end=" ")
torch.set_num_threads(1)
learner = learner_of(Conv4(filters=64).build((1, 28, 28), 5), MAML(inner_lr=0.4))
support, queries = (Examples(torch.rand(n, 1, 28, 28), torch.arange(n) % 5) for n in (5, 75))


def meta_gradients(count):
    for _ in range(count):
        learner.algorithm.meta_gradient(learner.model, learner.meta, Task(support, queries), 0)


with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
    pool.submit(meta_gradients, 2).result()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pool.submit(meta_gradients, 4).result()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Pages that fault in four meta-gradients of Conv4 with 75 queries, in a thread as workers have them."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an allocator of Linux")
def test_what_a_meta_gradient_frees_is_used_again_by_the_next():
    def faults(*how: str) -> list[str]:
        words = [sys.executable, "-c", FAULTS, *how]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    could, kept = faults("keep")
    if could == "False":
        pytest.skip("the C library is another one than glibc")
    (usual,) = faults()
    assert int(kept) < int(usual) / 2
