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

MAML_5W1S = Recipe(
    name="omniglot-5w1s-maml",
    about="the paper's 5-way 1-shot MAML: 98.7 ± 0.4 % as published, after 60000 updates",
    train_tasks=Omniglot(protocol="finn", ways=5, shots=1),
    test_tasks=Omniglot(protocol="finn", ways=5, shots=1),
    net=Conv4(filters=64, downsample="stride"),
    algorithm=MAML(inner_lr=2.0, inner_steps=1),
    training=Training(updates=60000, meta_batch=32, validate_every=500, validation_tasks=200, checkpoint_every=250),
    evaluation=Evaluation(tasks=600, steps=3),
)

FOMAML_5W1S = dataclasses.replace(
    MAML_5W1S,
    name="omniglot-5w1s-fomaml",
    about="the paper's 5-way 1-shot first-order MAML: 98.3 ± 0.5 % as published, after 60000 updates",
    algorithm=MAML(inner_lr=2.0, inner_steps=1, order=1),
)

MAML_20W1S = Recipe(
    name="omniglot-20w1s-maml",
    about="the paper's 20-way 1-shot MAML: 95.8 ± 0.3 % as published, after 60000 updates",
    train_tasks=Omniglot(protocol="finn", ways=20, shots=1),
    test_tasks=Omniglot(protocol="finn", ways=20, shots=1),
    net=Conv4(filters=64, downsample="stride"),
    algorithm=MAML(inner_lr=2.0, inner_steps=5),
    training=Training(updates=60000, meta_batch=16, validate_every=500, validation_tasks=200, checkpoint_every=250),
    evaluation=Evaluation(tasks=600, steps=5),
)

RECIPES = (MAML_5W1S, FOMAML_5W1S, MAML_20W1S)
