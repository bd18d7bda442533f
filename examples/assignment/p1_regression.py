"""Problem 1, regression: sinusoids from five points by MAML, second and first order, and the pre-trained baseline.

    python p1_regression.py [data folder] [output folder] [options of `fewstep train`]

Sinusoids are drawn as they are needed, so the data folder is not read. Each net is tested by ten steps of 0.001 on five
points of a curve it never saw; the baseline is ordinary training over all curves, which is MAML with no inner step.
To try it in seconds: `--updates 2 --evaluation.tasks 20`.
"""

import sys

from fewstep.exercise import train_and_test

if __name__ == "__main__":
    sys.exit(train_and_test("course-sinusoid-5s-maml", "course-sinusoid-5s-fomaml", "course-sinusoid-5s-pretrained"))
