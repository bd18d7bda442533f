"""MAML's relatives on Omniglot, in MAML's frame: its split, net, tasks an update and test (arXiv:1703.03400, table 1).

Figures of the papers are as quoted; where a paper has none for Omniglot, that is said. Rates are on the mean loss.
"""

from fewstep.algorithms.alfa import ALFA
from fewstep.algorithms.anil import ANIL
from fewstep.algorithms.boil import BOIL
from fewstep.algorithms.cavia import CAVIA
from fewstep.algorithms.imaml import IMAML
from fewstep.algorithms.meta_sgd import MetaSGD
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import AlgorithmSpec, Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training


def relative(name: str, about: str, algorithm: AlgorithmSpec, *, test_steps: int) -> Recipe:
    """The 5-way 1-shot recipe of one algorithm."""
    return Recipe(
        name=f"omniglot-5w1s-{name}",
        about=about,
        train_tasks=Omniglot(protocol="finn", ways=5, shots=1),
        test_tasks=Omniglot(protocol="finn", ways=5, shots=1),
        net=Conv4(filters=64, downsample="stride"),
        algorithm=algorithm,
        training=Training(
            updates=60000,
            meta_batch=32,
            validate_every=500,
            validation_tasks=200,
            checkpoint_every=250,
        ),
        evaluation=Evaluation(tasks=600, steps=test_steps),
    )


RECIPES = (
    relative(
        "anil",
        "ANIL: MAML that adapts the head alone; no 5-way figure of its paper on Omniglot",
        ANIL(inner_lr=2.0, inner_steps=1),
        test_steps=3,
    ),
    relative(
        "boil",
        "BOIL: MAML that adapts all but the head; no figure of its paper on Omniglot",
        BOIL(inner_lr=2.0, inner_steps=1),
        test_steps=3,
    ),
    relative(
        "metasgd",
        "Meta-SGD: a learned rate for every parameter, one step; 99.53 ± 0.26 % as quoted",
        MetaSGD(),
        test_steps=1,
    ),
    relative(
        "imaml",
        "iMAML: the gradient at the inner minimum, 16 steps, 5 of conjugate gradient; 99.50 ± 0.26 % as quoted",
        IMAML(inner_lr=0.05, inner_steps=16, regularization=2.0, cg_steps=5),  # α is ours
        test_steps=16,
    ),
    relative(
        "cavia",
        "CAVIA: two steps of a context of 100 numbers at rate 1; no figure of its paper on Omniglot",
        CAVIA(inner_lr=1.0, inner_steps=2, context_size=100),  # its constants for mini-ImageNet, as quoted
        test_steps=2,
    ),
    relative(
        "alfa",
        "ALFA: rates and weight decays of every step and tensor by a learned network; none on Omniglot either",
        ALFA(inner_lr=0.4, inner_steps=5),
        test_steps=5,
    ),
)
