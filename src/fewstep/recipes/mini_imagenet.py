"""MAML on mini-ImageNet as in the paper (Finn et al. 2017, arXiv:1703.03400, table 1; constants of cbfinn/maml).

The official loss is `ways` times the mean, so that its inner rate of 0.01 is 0.05 on the mean loss. Elements of the
meta-gradient are clamped to ±10. Figures are as quoted in the literature; nobody has run these recipes here, for the
data cannot be downloaded freely.
"""

import dataclasses

from fewstep.algorithms.maml import MAML
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.published import Published
from fewstep.training import Training


def maml(shots: int, meta_batch: int, published: str) -> Recipe:
    """A row's recipe: five steps in training, ten at test, 15 queries a class."""
    return Recipe(
        name=f"mini-imagenet-5w{shots}s-maml",
        about=f"the paper's 5-way {shots}-shot MAML on mini-ImageNet: {published} as quoted, after 60000 updates",
        train_tasks=Published(name="mini-imagenet", ways=5, shots=shots, queries=15),
        test_tasks=Published(name="mini-imagenet", ways=5, shots=shots, queries=15),
        net=Conv4(filters=32),
        algorithm=MAML(inner_lr=0.05, inner_steps=5),
        training=Training(
            updates=60000,
            meta_batch=meta_batch,
            clip_value=10.0,
            validate_every=500,
            validation_tasks=200,
            checkpoint_every=250,
        ),
        evaluation=Evaluation(tasks=600, steps=10),
    )


MAML_5W1S = maml(1, 4, "48.70 %")

FOMAML_5W1S = dataclasses.replace(
    MAML_5W1S,
    name="mini-imagenet-5w1s-fomaml",
    about="the paper's 5-way 1-shot first-order MAML on mini-ImageNet: 48.07 % as quoted, after 60000 updates",
    algorithm=MAML(inner_lr=0.05, inner_steps=5, order=1),
)

RECIPES = (MAML_5W1S, FOMAML_5W1S, maml(5, 2, "63.11 %"))
