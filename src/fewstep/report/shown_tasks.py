"""The test tasks that a report shows: the first ones of the list that the result was measured on."""

from fewstep.core import Task
from fewstep.evaluation import BLOCK, Evaluation
from fewstep.learner import Learner
from fewstep.tasks.splits import Tasks


def first_test_tasks(tasks: Tasks, evaluation: Evaluation, count: int, learner: Learner) -> list[Task]:
    """At most `count` tasks, on the learner's device; a block is drawn at once, as in `evaluate`."""
    block = tasks.sample(evaluation.seed, "test", 0, min(BLOCK, evaluation.tasks))
    return [block.select(i).to(learner.device) for i in range(min(count, evaluation.tasks))]
