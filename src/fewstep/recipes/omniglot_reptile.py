"""Reptile on Omniglot as in the paper (Nichol et al. 2018, arXiv:1803.02999, table 1; constants of supervised-reptile).

Training draws ten images a class whatever the test's shots; tests take fifty steps of small batches. The result line is
the transductive figure, the one beside it forwards each query with the support set alone.
"""

from fewstep.algorithms.reptile import Reptile
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training


def reptile(ways: int, shots: int, published: str) -> Recipe:
    """A row's recipe: 5 steps of 10 images for 5 ways, 10 steps of 20 at half the rate for 20."""
    is_wide = ways == 20
    return Recipe(
        name=f"omniglot-{ways}w{shots}s-reptile",
        about=f"the paper's {ways}-way {shots}-shot Reptile: {published} as published, without and with transduction",
        train_tasks=Omniglot(protocol="reptile", ways=ways, shots=10),
        test_tasks=Omniglot(protocol="reptile", ways=ways, shots=shots),
        net=Conv4(filters=64, downsample="stride_flatten"),
        algorithm=Reptile(
            inner_lr=5e-4 if is_wide else 1e-3,
            inner_steps=10 if is_wide else 5,
            inner_batch=20 if is_wide else 10,
        ),
        training=Training(
            updates=200000 if is_wide else 100000,
            meta_batch=5,
            lr=1.0,
            optimizer="sgd",
            schedule="linear",
            final_lr=0.0,
            validate_every=1000,  # without validation classes this only writes checkpoints
            checkpoint_every=500,
        ),
        evaluation=Evaluation(tasks=10000, steps=50, inner_batch=10 if is_wide else 5),
    )


RECIPES = (
    reptile(5, 1, "95.39 ± 0.09 / 97.68 ± 0.04 %"),
    reptile(5, 5, "98.90 ± 0.10 / 99.48 ± 0.06 %"),
    reptile(20, 1, "88.14 ± 0.15 / 89.43 ± 0.14 %"),
    reptile(20, 5, "96.65 ± 0.33 / 97.12 ± 0.32 %"),
)
