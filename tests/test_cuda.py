"""What a GPU computes is what a processor computes; skipped where there is none."""

import pytest
import torch

from builders import NORMS, InDouble, image_splits, smooth_net, smooth_task, stacked
from fewstep import api
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.reptile import Reptile
from fewstep.autotune import choose_mapping
from fewstep.evaluation import Evaluation, evaluate
from fewstep.inner.adagrad import Adagrad
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.nets.conv4 import Conv4
from fewstep.training import meta_gradient

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")

MAPPINGS = (
    Mapping(),
    Mapping(threads=2),
    Mapping(chunk=3),
    Mapping(chunk=3, execution="traced"),
    Mapping(execution="traced"),
)
ALGORITHMS = (
    MAML(inner_lr=0.2, inner_steps=2),
    MAML(inner_lr=0.2, inner_steps=2, order=1, learn_inner_lr=True),
    MAML(inner_lr=0.2, inner_steps=2, optimizer=Adagrad(), recompute=True),
    Reptile(inner_lr=0.2, inner_steps=3, inner_batch=None),
)


def of_meta_batch(learner: Learner, mapping: Mapping):
    tasks = stacked([smooth_task(number) for number in range(3)]).to(learner.device)
    with Workers(learner.model, mapping) as workers:
        outcome, _ = meta_gradient(learner, tasks, workers, 0)
    return outcome


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_a_meta_gradient_is_that_of_the_processor(algorithm: MAML | Reptile, mapping: Mapping):
    learner = learner_of(smooth_net(), algorithm).to("cpu")
    expected = of_meta_batch(learner, Mapping())
    found = of_meta_batch(learner.to("cuda"), mapping)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10, check_device=False)


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_policy_is_that_of_the_processor(norm: str):
    learner = learner_of(smooth_net(), ALGORITHMS[0], norm=norm).to("cpu")
    expected = of_meta_batch(learner, Mapping())
    for mapping in MAPPINGS:
        found = of_meta_batch(learner.to("cuda"), mapping)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10, check_device=False)


@pytest.mark.parametrize("chunk", [1, 5])
def test_an_evaluation_is_that_of_the_processor(chunk: int):
    learner, tasks = learner_of(smooth_net(), ALGORITHMS[0]).to("cpu"), InDouble(image_splits().test)
    settings = Evaluation(tasks=20, steps=2)
    expected = evaluate(learner, tasks, settings)
    found = evaluate(learner.to("cuda"), tasks, settings, mapping=Mapping(chunk=chunk))
    assert [score.mean for score in found.at_step] == pytest.approx([score.mean for score in expected.at_step])
    assert found.per_query == pytest.approx(expected.per_query)


def test_a_net_of_convolutions_is_batched_over_all_tasks():
    net = Conv4(filters=8).build((1, 16, 16), 3)
    learner = learner_of(net, MAML(inner_lr=0.1)).to("cuda")
    batch = image_splits(size=16).train.sample(0, "train", 0, 4).to("cuda")
    assert choose_mapping(learner, batch).chunk == 4


def test_a_training_learns_stops_and_goes_on(tmp_path):
    net = Conv4(filters=8).build((1, 16, 16), 3)
    algorithm, tasks = MAML(inner_lr=0.1), image_splits(size=16)
    stopped = api.train(net, algorithm, tasks, updates=30, device="cuda", out=tmp_path, minutes=1e-9)
    resumed = api.train(net, algorithm, tasks, updates=30, device="cuda", out=tmp_path)
    assert (stopped.status, stopped.update < 30, resumed.update) == ("out of time", True, 30)
    assert resumed.learner.device.type == "cuda"
    assert api.evaluate(resumed, tasks.test, count=100).score.mean > 0.9
    task = tasks.test.sample(0, "mine", 0, 1).select(0).to("cuda")
    assert api.adapt(resumed, task.support)(task.query.x).shape == (6, 3)
