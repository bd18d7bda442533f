"""MAML++ on Omniglot as in the paper (Antoniou et al. 2019, arXiv:1810.09502; HowToTrainYourMAMLPytorch).

100 epochs of 500 updates, of which 10 with the multi-step loss and those up to and including epoch 50 in first order.
Norms are scored on the per-step statistics that training accumulated. The official code never reads those: that is
`--norm transductive`, and its figure is of five checkpoints together: `--evaluation.ensemble 5`.
"""

import dataclasses

from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training


def maml_plus_plus(ways: int, shots: int, published: str) -> Recipe:
    """A row's recipe; the paper trains all four alike."""
    return Recipe(
        name=f"omniglot-{ways}w{shots}s-mamlpp",
        about=f"the paper's {ways}-way {shots}-shot MAML++ on statistics that act; published on batches: {published}",
        train_tasks=Omniglot(protocol="mamlpp", ways=ways, shots=shots),
        test_tasks=Omniglot(protocol="mamlpp", ways=ways, shots=shots),
        net=Conv4(filters=64, downsample="pool", activation="leaky_relu"),
        norm="per_step",
        algorithm=MAMLPlusPlus(
            inner_lr=0.1,
            inner_steps=5,
            learn_inner_lr=True,
            multi_step_epochs=10,
            first_order_epochs=51,  # epochs count from 0, so this is up to and including epoch 50
            per_step_norm=True,
            epoch=500,
        ),
        training=Training(
            updates=50000,
            meta_batch=8,
            schedule="cosine",
            validate_every=500,
            validation_tasks=600,
            checkpoint_every=250,
        ),
        evaluation=Evaluation(tasks=600, steps=5),
    )


MAMLPP_5W1S = maml_plus_plus(5, 1, "99.47 %")

OFFICIAL_5W1S = dataclasses.replace(
    MAMLPP_5W1S,
    name="omniglot-5w1s-mamlpp-official",
    about="MAML++ with the official code's quirks: statistics never read, five checkpoints together; 99.47 % published",
    norm="transductive",
    evaluation=Evaluation(tasks=600, steps=5, ensemble=5),
)

BEST_5W1S = Recipe(
    name="omniglot-5w1s-best",
    about="the most accuracy in an hour or so: MAML++ of three steps on MAML's split and test (98.7 % published)",
    train_tasks=Omniglot(protocol="finn", ways=5, shots=1, queries=3),
    test_tasks=Omniglot(protocol="finn", ways=5, shots=1),
    net=Conv4(filters=64, downsample="pool"),
    algorithm=MAMLPlusPlus(
        inner_lr=0.1,
        inner_steps=3,
        learn_inner_lr=True,
        multi_step_epochs=10,
        first_order_epochs=30,
        per_step_norm=True,
        epoch=100,
    ),
    training=Training(
        updates=10000,
        meta_batch=8,
        schedule="cosine",
        validate_every=1000,
        validation_tasks=1000,
        checkpoint_every=250,
    ),
    evaluation=Evaluation(tasks=1000, steps=3),
)
"""Ours: on the statistics of each batch, which serve better here than per-step ones; three queries a class to learn
from, one to be tested on."""

RECIPES = (
    BEST_5W1S,
    MAMLPP_5W1S,
    OFFICIAL_5W1S,
    maml_plus_plus(5, 5, "99.93 %"),
    maml_plus_plus(20, 1, "97.65 %"),
    maml_plus_plus(20, 5, "99.33 %"),
)
