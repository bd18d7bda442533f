"""Problem 1, classification: Omniglot 5-way 1-shot by MAML, first order against second order.

    python p1_classification.py [data folder] [output folder] [--order 1|2] [options of `fewstep train`]

Both orders are trained, or the one that `--order` names: 40 epochs of 20 updates, one inner step at 0.4, three at test.
The one line in which they differ is in `src/fewstep/algorithms/maml.py`; see question 1 of the README beside this file.
To try it in seconds: `--updates 2 --net.filters 4 --evaluation.tasks 20`.
"""

import argparse
import sys

from fewstep.exercise import train_and_test

RECIPES = {1: "course-5w1s-fomaml", 2: "course-5w1s-maml"}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--order", type=int, choices=RECIPES)
    chosen, words = parser.parse_known_args()
    orders = RECIPES if chosen.order is None else [chosen.order]
    sys.exit(train_and_test(*(RECIPES[order] for order in orders), words=words))
