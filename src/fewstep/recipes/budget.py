"""Every algorithm at one price: training that takes ten CPU minutes, on one thread of the 2-core machine of `results/`.

One frame for all: real Omniglot under `vinyals`, 5-way 1-shot, five queries a class at test, 1000 test tasks, the net
that did best by the minute in `results/search_fast.py`, cosine. What differs is the algorithm, its rates and the number
of updates, which is 600 seconds by the milliseconds of CPU time beside it. `python results/budget.py` runs them.
"""

from typing import Any

from fewstep.algorithms.alfa import ALFA
from fewstep.algorithms.anil import ANIL
from fewstep.algorithms.boil import BOIL
from fewstep.algorithms.cavia import CAVIA
from fewstep.algorithms.imaml import IMAML
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.meta_sgd import MetaSGD
from fewstep.algorithms.reptile import Reptile
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import AlgorithmSpec, Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training


def budget(
    name: str,
    about: str,
    algorithm: AlgorithmSpec,
    *,
    updates: int,
    evaluation: Evaluation,
    shots: int = 1,
    queries: int = 3,
    **training: Any,
) -> Recipe:
    """One recipe: `shots` and `queries` a class in training, and what its outer loop has of its own."""
    outer = {"meta_batch": 8, "lr": 3e-3, "schedule": "cosine", **training}
    return Recipe(
        name=f"budget-5w1s-{name}",
        about=f"ten CPU minutes of {about}",
        train_tasks=Omniglot(protocol="vinyals", ways=5, shots=shots, queries=queries),
        test_tasks=Omniglot(protocol="vinyals", ways=5, shots=1, queries=5),
        net=Conv4(filters=48, downsample="stride_flatten"),
        algorithm=algorithm,
        training=Training(
            updates=updates,
            validate_every=-(-updates // 4),
            validation_tasks=200,
            checkpoint_every=500,
            **outer,
        ),
        evaluation=evaluation,
    )


RECIPES = (
    budget(
        "maml",
        "MAML, one second-order step",
        MAML(inner_lr=0.4, inner_steps=1),
        updates=6000,  # 99 ms
        evaluation=Evaluation(tasks=1000, steps=5),
    ),
    budget(
        "fomaml",
        "first-order MAML, three steps",
        MAML(inner_lr=0.2, inner_steps=3, order=1),
        updates=6800,  # 88 ms
        evaluation=Evaluation(tasks=1000, steps=5),
    ),
    budget(
        "mamlpp",
        "MAML++, two steps, every tip",
        MAMLPlusPlus(
            inner_lr=0.4,
            inner_steps=2,
            learn_inner_lr=True,
            multi_step_epochs=10,
            first_order_epochs=5,
            per_step_norm=True,
            epoch=50,
        ),
        updates=5000,  # 118 ms
        evaluation=Evaluation(tasks=1000, steps=2),
    ),
    budget(
        "reptile",
        "Reptile, five steps of ten images, ten images a class in training",
        Reptile(inner_lr=3e-3, inner_steps=5, inner_batch=10),
        updates=4000,  # 147 ms
        evaluation=Evaluation(tasks=1000, steps=50, inner_batch=5),
        shots=10,
        queries=1,  # for the log alone
        meta_batch=5,
        lr=1.0,
        optimizer="sgd",
        schedule="linear",
        final_lr=0.0,
    ),
    budget(
        "anil",
        "ANIL, the head alone adapted",
        ANIL(inner_lr=0.4, inner_steps=1),
        updates=10000,  # 59 ms
        evaluation=Evaluation(tasks=1000, steps=5),
    ),
    budget(
        "boil",
        "BOIL, all but the head adapted",
        BOIL(inner_lr=0.4, inner_steps=1),
        updates=6000,  # 99 ms
        evaluation=Evaluation(tasks=1000, steps=5),
    ),
    budget(
        "metasgd",
        "Meta-SGD, a learned rate for every parameter",
        MetaSGD(least_inner_lr=0.2, largest_inner_lr=0.6),
        updates=5800,  # 103 ms
        evaluation=Evaluation(tasks=1000, steps=1),
    ),
    budget(
        "imaml",
        "iMAML, five steps and two of conjugate gradient",
        IMAML(
            inner_lr=0.3,
            inner_steps=5,
            regularization=0.5,
            cg_steps=2,
            identity_damping=1.0,  # as in the official code; without it 46 %
            hessian_damping=10.0,
        ),
        updates=1900,  # 249 ms
        evaluation=Evaluation(tasks=1000, steps=5),
    ),
    budget(
        "cavia",
        "CAVIA, two steps of a context of 100 numbers",
        CAVIA(inner_lr=5.0, inner_steps=2, context_size=100, layer="block4.norm"),
        updates=5400,  # 85 ms
        evaluation=Evaluation(tasks=1000, steps=2),
    ),
    budget(
        "alfa",
        "ALFA, two steps at generated rates",
        ALFA(inner_lr=0.4, inner_steps=2),
        updates=2900,  # 205 ms
        evaluation=Evaluation(tasks=1000, steps=2),
    ),
)
