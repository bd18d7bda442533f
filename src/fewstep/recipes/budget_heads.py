"""Algorithms that make a head of the support set, at one price: training that takes ten CPU minutes on one thread.

Their test is that of every recipe of the family: real Omniglot under `vinyals`, 5-way 1-shot, five queries a class,
1000 tasks. Training has what such heads allow: one task an update, of 60 ways with one query each, on a net that pools,
which did better by the minute than one with strides; predictions rest on accumulated statistics, so each is its own.
Updates are 600 seconds by the milliseconds of CPU time beside them, measured on the 2-core machine of `results/`.
"""

from fewstep.algorithms.baseline_plus_plus import BaselinePlusPlus
from fewstep.algorithms.matching_net import MatchingNet
from fewstep.algorithms.proto_maml import ProtoMAML
from fewstep.algorithms.protonet import ProtoNet
from fewstep.algorithms.r2d2 import R2D2
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import AlgorithmSpec, Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training


def budget(name: str, about: str, algorithm: AlgorithmSpec, *, updates: int, net: Conv4 | None = None) -> Recipe:
    """The recipe of one algorithm."""
    return Recipe(
        name=f"budget-5w1s-{name}",
        about=f"ten CPU minutes of {about}",
        train_tasks=Omniglot(protocol="vinyals", ways=60, shots=1, queries=1),
        test_tasks=Omniglot(protocol="vinyals", ways=5, shots=1, queries=5),
        net=net or Conv4(filters=48, downsample="pool"),
        norm="running",
        algorithm=algorithm,
        training=Training(
            updates=updates,
            meta_batch=1,
            lr=3e-3,
            schedule="cosine",
            validate_every=-(-updates // 4),
            validation_tasks=200,
            checkpoint_every=500,
        ),
        evaluation=Evaluation(tasks=1000, steps=algorithm.inner_steps),
    )


RECIPES = (
    budget("protonet", "ProtoNet, trained on 60 ways", ProtoNet(), updates=5600),  # 107 ms
    budget("matchingnet", "MatchingNet, trained on 60 ways", MatchingNet(scale=10.0), updates=5800),  # 103 ms
    budget("r2d2", "R2D2, trained on 60 ways", R2D2(), updates=5600),  # 106 ms
    budget(
        "protomaml",
        "ProtoMAML, one first-order step, trained on 60 ways",
        ProtoMAML(inner_lr=0.02, inner_steps=1, order=1),
        updates=4300,  # 140 ms
    ),
    budget(
        "baselinepp",
        "Baseline++: one classifier of 4112 turned characters, in batches of 60",
        BaselinePlusPlus(scale=20.0),
        updates=13000,  # 45 ms
        net=Conv4(filters=48, downsample="stride_flatten"),  # more updates by the minute: of each class few are seen
    ),
)
