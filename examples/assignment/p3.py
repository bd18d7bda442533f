"""Problem 3: one tip of MAML++, derivative-order annealing: 50 epochs in first order, then 100 in second.

    python p3.py [data folder] [output folder] [options of `fewstep train course-5w1s-doa`]

The switch is `order_at` in `src/fewstep/algorithms/maml_plus_plus.py`; see question 3 of the README beside this file.
To try it in seconds: `--updates 2 --net.filters 4 --evaluation.tasks 20`; with `--algorithm.epoch 1` and more than 50
updates the switch is among them.
"""

import sys

from fewstep.exercise import train_and_test

if __name__ == "__main__":
    sys.exit(train_and_test("course-5w1s-doa"))
