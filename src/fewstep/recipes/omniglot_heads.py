"""Metric learners on Omniglot as in their papers, under the protocol that they share, `vinyals`; figures as quoted.

Prototypical networks (Snell et al. 2017, arXiv:1703.05175, section 3.1): training on 60 classes an episode, 5 queries
each, whatever the test's ways; Adam at 1e-3, halved every 2000 episodes, here annealed by a cosine.
Matching networks (Vinyals et al. 2016, arXiv:1606.04080, section 4.1.1): trained on as many ways as tested. The number
of updates and the scale of the cosines are ours; the paper's is 1.
"""

from fewstep.algorithms.matching_net import MatchingNet
from fewstep.algorithms.protonet import ProtoNet
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training


def protonet(ways: int, shots: int, published: str) -> Recipe:
    """A row's recipe: all train alike but for the shots."""
    return Recipe(
        name=f"omniglot-{ways}w{shots}s-protonet",
        about=f"the paper's {ways}-way {shots}-shot ProtoNet, trained on 60 ways: {published} as quoted",
        train_tasks=Omniglot(protocol="vinyals", ways=60, shots=shots, queries=5),
        test_tasks=Omniglot(protocol="vinyals", ways=ways, shots=shots, queries=5),
        net=Conv4(filters=64, downsample="pool"),
        norm="running",
        algorithm=ProtoNet(),
        training=Training(
            updates=20000,
            meta_batch=1,
            schedule="cosine",
            validate_every=500,
            validation_tasks=200,
            checkpoint_every=500,
        ),
        evaluation=Evaluation(tasks=1000, steps=0),
    )


def matching_net(ways: int, shots: int, published: str) -> Recipe:
    """A row's recipe: episodes of training are as those of the test."""
    return Recipe(
        name=f"omniglot-{ways}w{shots}s-matchingnet",
        about=f"the paper's {ways}-way {shots}-shot MatchingNet by cosine attention: {published} as quoted",
        train_tasks=Omniglot(protocol="vinyals", ways=ways, shots=shots, queries=5),
        test_tasks=Omniglot(protocol="vinyals", ways=ways, shots=shots, queries=5),
        net=Conv4(filters=64, downsample="pool"),
        norm="running",
        algorithm=MatchingNet(scale=10.0),
        training=Training(
            updates=20000,
            meta_batch=100 // (ways * shots),  # about as many images an update in every row
            schedule="cosine",
            validate_every=500,
            validation_tasks=200,
            checkpoint_every=500,
        ),
        evaluation=Evaluation(tasks=1000, steps=0),
    )


RECIPES = (
    protonet(5, 1, "98.8 %"),
    protonet(5, 5, "99.7 %"),
    protonet(20, 1, "96.0 %"),
    protonet(20, 5, "98.9 %"),
    matching_net(5, 1, "98.1 %"),
    matching_net(5, 5, "98.9 %"),
    matching_net(20, 1, "93.8 %"),
    matching_net(20, 5, "98.5 %"),
)
