"""MAML on Omniglot as in the paper (Finn et al. 2017, arXiv:1703.03400, table 1; constants of cbfinn/maml).

The official loss is the cross-entropy summed over the support set and divided by the shots, `ways` times the mean:
its inner rates 0.4 (5-way) and 0.1 (20-way) are both 2.0 on the mean loss.
"""

import dataclasses

from fewstep.algorithms.maml import MAML
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training


def maml(ways: int, shots: int, published: str) -> Recipe:
    """A row's recipe: one step and 32 tasks an update for 5 ways, five steps and 16 tasks for 20."""
    is_wide = ways == 20
    return Recipe(
        name=f"omniglot-{ways}w{shots}s-maml",
        about=f"the paper's {ways}-way {shots}-shot MAML: {published} as published, after 60000 updates",
        train_tasks=Omniglot(protocol="finn", ways=ways, shots=shots),
        test_tasks=Omniglot(protocol="finn", ways=ways, shots=shots),
        net=Conv4(filters=64, downsample="stride"),
        algorithm=MAML(inner_lr=2.0, inner_steps=5 if is_wide else 1),
        training=Training(
            updates=60000,
            meta_batch=16 if is_wide else 32,
            validate_every=500,
            validation_tasks=200,
            checkpoint_every=250,
        ),
        evaluation=Evaluation(tasks=600, steps=5 if is_wide else 3),
    )


MAML_5W1S = maml(5, 1, "98.7 ± 0.4 %")

FOMAML_5W1S = dataclasses.replace(
    MAML_5W1S,
    name="omniglot-5w1s-fomaml",
    about="the paper's 5-way 1-shot first-order MAML: 98.3 ± 0.5 % as published, after 60000 updates",
    algorithm=MAML(inner_lr=2.0, inner_steps=1, order=1),
)

FAST_5W1S = Recipe(
    name="omniglot-5w1s-fast",
    about="the most accuracy in the fewest minutes: small batches, learned rates, three queries a class, cosine",
    train_tasks=Omniglot(protocol="vinyals", ways=5, shots=1, queries=3),
    test_tasks=Omniglot(protocol="vinyals", ways=5, shots=1, queries=1),
    net=Conv4(filters=48, downsample="stride_flatten"),
    algorithm=MAML(inner_lr=0.4, inner_steps=1, learn_inner_lr=True),
    training=Training(
        updates=16000,
        meta_batch=8,
        lr=3e-3,
        schedule="cosine",
        validate_every=2000,
        validation_tasks=300,
        checkpoint_every=500,
    ),
    evaluation=Evaluation(tasks=1000, steps=5),
)
"""The setting that scored best in `results/search_fast.py`, at three CPU minutes each on validation classes."""

RECIPES = (
    MAML_5W1S,
    FAST_5W1S,
    FOMAML_5W1S,
    maml(5, 5, "99.9 ± 0.1 %"),
    maml(20, 1, "95.8 ± 0.3 %"),
    maml(20, 5, "98.9 ± 0.2 %"),
)
