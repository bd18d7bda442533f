"""Problem 2: MAML whose inner loop is Adagrad, five second-order steps.

    python p2.py [data folder] [output folder] [options of `fewstep train course-5w1s-adagrad`]

n ← n + g²,  φ ← φ − α g / √(n + 0.7): the outer gradient goes back through n and the root as well. The rule is
`src/fewstep/inner/adagrad.py`; see question 2 of the README beside this file.
To try it in seconds: `--updates 2 --net.filters 4 --evaluation.tasks 20`.
"""

import sys

from fewstep.exercise import train_and_test

if __name__ == "__main__":
    sys.exit(train_and_test("course-5w1s-adagrad"))
