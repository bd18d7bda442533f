"""MAML on sinusoids as in the paper (Finn et al. 2017, arXiv:1703.03400, section 5.1), K = 10.

The inner rate is the paper's 0.01; the official command line silently runs 0.001. The paper trains for 70000
updates, ours for 30000.
"""

import dataclasses

from fewstep.algorithms.cavia import CAVIA
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.meta_sgd import MetaSGD
from fewstep.algorithms.reptile import Reptile
from fewstep.evaluation import Evaluation
from fewstep.inner.sgd import SGD
from fewstep.nets.mlp import MLP
from fewstep.recipe import Recipe
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.training import Training

MAML_10S = Recipe(
    name="sinusoid-10s-maml",
    about="the paper's 10-shot sinusoids: mean squared error after 0 to 10 steps",
    train_tasks=Sinusoid(shots=10, queries=10),
    test_tasks=Sinusoid(shots=10, queries=10),
    net=MLP(hidden=(40, 40)),
    loss="mean_squared_error",
    algorithm=MAML(inner_lr=0.01, inner_steps=1),
    training=Training(updates=30000, meta_batch=25, validate_every=1000, validation_tasks=600, checkpoint_every=1000),
    evaluation=Evaluation(tasks=1000, steps=10),
)

FOMAML_10S = dataclasses.replace(
    MAML_10S,
    name="sinusoid-10s-fomaml",
    about="the same in first order",
    algorithm=MAML(inner_lr=0.01, inner_steps=1, order=1),
)

MAMLPP_10S = dataclasses.replace(
    MAML_10S,
    name="sinusoid-10s-mamlpp",
    about="MAML++ on the paper's sinusoids: five steps, multi-step loss, learned rates, annealed order, cosine",
    algorithm=MAMLPlusPlus(
        inner_lr=0.01, inner_steps=5, learn_inner_lr=True, multi_step_epochs=15, first_order_epochs=20, epoch=500
    ),
    training=dataclasses.replace(MAML_10S.training, schedule="cosine"),
)

REPTILE_10S = dataclasses.replace(
    MAML_10S,
    name="sinusoid-10s-reptile",
    about="Reptile on the paper's sinusoids: fifty points to train on, ten to adapt to at test",
    train_tasks=Sinusoid(shots=50, queries=10),
    net=MLP(hidden=(64, 64), activation="tanh"),  # of the Reptile paper's own sinusoids, as are rate and batch
    algorithm=Reptile(inner_lr=0.02, inner_steps=5, inner_batch=10, optimizer=SGD(), persistent_slots=False),
    training=dataclasses.replace(
        MAML_10S.training, lr=0.1, optimizer="sgd", schedule="linear", final_lr=0.0, meta_batch=1
    ),
)

META_SGD_10S = dataclasses.replace(
    MAML_10S,
    name="sinusoid-10s-metasgd",
    about="Meta-SGD on the paper's sinusoids: one step at learned rates; re-runs of others 0.3 to 0.53",
    algorithm=MetaSGD(),
    evaluation=Evaluation(tasks=1000, steps=1),
)

CAVIA_10S = dataclasses.replace(
    MAML_10S,
    name="sinusoid-10s-cavia",
    about="CAVIA on the paper's sinusoids: one step of a context of four numbers at rate 1",
    algorithm=CAVIA(inner_lr=1.0, inner_steps=1, context_size=4),
    evaluation=Evaluation(tasks=1000, steps=1),
)

RECIPES = (MAML_10S, FOMAML_10S, MAMLPP_10S, REPTILE_10S, META_SGD_10S, CAVIA_10S)
