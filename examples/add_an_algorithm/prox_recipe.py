"""Meta-MinibatchProx on the embedded alphabets, 5-way 1-shot."""

from minibatch_prox import MinibatchProx

import fewstep

RECIPE = fewstep.Recipe(
    name="strokes-5w1s-prox",
    about="Meta-MinibatchProx on procedural alphabets, embedded",
    train_tasks=fewstep.Strokes(ways=5, shots=5),
    test_tasks=fewstep.Strokes(ways=5, shots=1),
    net=fewstep.Conv4(filters=32, downsample="stride"),
    norm="support",
    algorithm=MinibatchProx(inner_lr=0.1, inner_steps=8, regularization=0.5),
    training=fewstep.Training(
        updates=500, meta_batch=8, lr=3e-3, schedule="cosine"
    ),
    evaluation=fewstep.Evaluation(tasks=1000, steps=8),
)
