"""The two learners that come with the package, for any number of new symbols: `fewstep adapt omniglot ...`.

Trained under the `vinyals` protocol on tasks of twenty (ProtoNet) and ten (ProtoMAML) characters, each shifted by up to
two pixels, which a symbol that somebody draws is too. Both predict every query by itself.
"""

from fewstep.algorithms.proto_maml import ProtoMAML
from fewstep.algorithms.protonet import ProtoNet
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.augmentation import Augmentation
from fewstep.tasks.omniglot import Omniglot
from fewstep.training import Training

TEST_TASKS = Omniglot(protocol="vinyals", ways=5, shots=1)
SHIFTED = Augmentation(crop=2)

PROTONET = Recipe(
    name="omniglot-protonet",
    about="ProtoNet for any number of symbols: trained on twenty characters a task, shifted a little",
    train_tasks=Omniglot(protocol="vinyals", ways=20, shots=1, queries=5),
    test_tasks=TEST_TASKS,
    net=Conv4(filters=64, downsample="pool"),
    norm="running",
    algorithm=ProtoNet(),
    augmentation=SHIFTED,
    training=Training(updates=12000, meta_batch=4, schedule="cosine", validate_every=1000, checkpoint_every=500),
    evaluation=Evaluation(tasks=1000, steps=0),
)

PROTOMAML = Recipe(
    name="omniglot-protomaml",
    about="ProtoMAML for any number of symbols: three steps from prototypes, trained on ten characters a task",
    train_tasks=Omniglot(protocol="vinyals", ways=10, shots=1, queries=5),
    test_tasks=TEST_TASKS,
    net=Conv4(filters=64, downsample="pool"),
    norm="support",
    algorithm=ProtoMAML(inner_lr=0.1, inner_steps=3),
    augmentation=SHIFTED,
    training=Training(updates=8000, meta_batch=8, schedule="cosine", validate_every=1000, checkpoint_every=500),
    evaluation=Evaluation(tasks=1000, steps=3),
)

RECIPES = (PROTONET, PROTOMAML)
