"""Recipes on the embedded alphabets: no network, minutes on a laptop."""

from fewstep.algorithms.maml import MAML
from fewstep.evaluation import Evaluation
from fewstep.nets.conv4 import Conv4
from fewstep.recipe import Recipe
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.strokes import Strokes
from fewstep.training import Training

RECIPES = (
    Recipe(
        name="strokes-5w1s-maml",
        about="MAML on procedural alphabets, embedded: 5-way 1-shot in a minute or two on two cores",
        train_tasks=Strokes(ways=5, shots=1, queries=1),
        test_tasks=Strokes(ways=5, shots=1, queries=1),
        net=Conv4(filters=32, downsample="stride"),
        algorithm=MAML(inner_lr=0.4),
        training=Training(
            updates=500,
            meta_batch=16,
            lr=3e-3,
            schedule="cosine",
            validate_every=100,
            validation_tasks=200,
        ),
        evaluation=Evaluation(tasks=1000, steps=3),
    ),
    Recipe(
        name="strokes-to-omniglot-5w1s-maml",
        about="trained on procedural alphabets alone, tested on real Omniglot (lake): 5-way 1-shot",
        train_tasks=Strokes(ways=5, shots=1, train_alphabets=90, test_alphabets=5, rotations=True),
        test_tasks=Omniglot(protocol="lake", ways=5, shots=1, queries=1),
        net=Conv4(filters=64, downsample="stride"),
        algorithm=MAML(inner_lr=0.4),
        training=Training(updates=4000, meta_batch=16, lr=2e-3, schedule="cosine", validate_every=400),
        evaluation=Evaluation(tasks=1000, steps=3),
    ),
)
