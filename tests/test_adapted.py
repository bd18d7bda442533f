"""What an adapted net knows of itself."""

import copy
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import fewstep
from builders import image_splits, smooth_net, smooth_task
from fewstep.core import Examples
from fewstep.learner import Learner
from fewstep.tasks.preprocessing import Preprocessing
from run_builders import sinusoid_learner

CLASSES = ("ash", "beech", "oak")


def learner(**settings: object) -> Learner:
    return fewstep.learner_of(smooth_net(), fewstep.MAML(inner_lr=0.2), **{"norm": "support", **settings})


@pytest.fixture
def leaves(tmp_path) -> Path:
    """Two, one and three grey pictures of three classes, as a folder."""
    rng = np.random.default_rng(0)
    for name, count in zip(CLASSES, (2, 1, 3), strict=True):
        (tmp_path / "leaves" / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (9, 7), dtype=np.uint8)).save(tmp_path / "leaves" / name / f"{i}.png")
    return tmp_path / "leaves"


@pytest.fixture(scope="module")
def run() -> fewstep.run.Run:
    """Of images 5 × 5, grey, inverted."""
    splits = image_splits()._replace(preprocessing=Preprocessing(size=5, color="L", inverted=True))
    training = fewstep.Training(updates=1, meta_batch=2)
    net = smooth_net().float()
    return fewstep.train(net, fewstep.MAML(inner_lr=0.2), splits, training=training, mapping=fewstep.Mapping())


def test_a_support_folder_gives_names_and_goes_through_what_training_images_went_through(run, leaves):
    model = fewstep.adapt(run, leaves)
    assert type(model) is nn.Sequential
    assert model.fewstep.classes == CLASSES
    x = run.preprocessing.read(sorted(leaves.glob("*/*.png")))
    assert x.max() <= 1
    by_hand = fewstep.adapt(run, Examples(x, torch.tensor([0, 0, 1, 2, 2, 2])), classes=CLASSES)
    for name, tensor in by_hand.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_predictions_are_the_softmax_of_the_net_by_name_likeliest_first(run, leaves):
    model, files = fewstep.adapt(run, leaves), sorted(leaves.glob("*/*.png"))
    expected = model(run.preprocessing.read(files)).softmax(-1)
    for prediction, row in zip(model.fewstep.predict(files), expected, strict=True):
        assert prediction.name == CLASSES[int(row.argmax())] == next(iter(prediction.probabilities))
        torch.testing.assert_close(torch.tensor([prediction.probabilities[name] for name in CLASSES]), row)
        assert prediction.novelty == pytest.approx(0, abs=1e-3)  # it is in the support set itself
    assert model.fewstep.predict(files[0])[0].name == model.fewstep.predict(str(files[0]))[0].name


def test_novelty_is_measured_by_adapting_to_the_support_set_less_one_class_at_a_time():
    mine, support = learner(), smooth_task().support
    model = fewstep.adapt(mine, support)
    expected = []
    for label in range(3):
        kept = support.y != label
        net = smooth_net().eval()
        net.load_state_dict(mine.for_evaluation().adapt(Examples(support.x[kept], support.y[kept])), strict=False)
        inside, outside = (nn.functional.normalize(net[:4](support.x[part]), dim=1) for part in (kept, ~kept))
        expected += (1 - (outside @ inside.T).max(1).values).tolist()
    torch.testing.assert_close(model.fewstep.reference.left_out, torch.tensor(sorted(expected), dtype=torch.float64))


def test_two_classes_of_one_example_leave_too_few_to_measure_novelty_by():
    support = Examples(smooth_task().support.x[:2], torch.tensor([0, 1]))
    two = fewstep.learner_of(smooth_net(ways=2), fewstep.MAML(inner_lr=0.2), norm="support")
    assert fewstep.adapt(two, support).fewstep.predict(support.x)[0].novelty is None


def test_a_copy_of_an_adapted_net_has_a_record_of_its_own():
    copied = copy.deepcopy(fewstep.adapt(learner(), smooth_task().support))
    assert copied.fewstep.module is copied


def test_a_transductive_learner_says_whose_statistics_the_model_keeps_and_others_say_nothing(caplog):
    support = smooth_task().support
    with caplog.at_level(logging.INFO, "fewstep"):
        model = fewstep.adapt(learner(norm="transductive"), support)
    assert "keeps the support set's statistics instead" in model.fewstep.note
    assert model.fewstep.note in caplog.text
    assert fewstep.adapt(learner(), support).fewstep.note == ""


def test_values_are_adapted_to_as_well_and_have_no_classes_to_predict():
    tasks = fewstep.Sinusoid(shots=4, queries=4)
    support = tasks.sample(0, "use", 0, 1).select(0).support
    model = fewstep.adapt(sinusoid_learner(), support)
    assert model(support.x).shape == (4, 1)
    with pytest.raises(ValueError, match="outputs are values, not classes"):
        model.fewstep.predict(support.x)


MAKES_HEAD = (fewstep.ProtoNet(), fewstep.ProtoMAML(inner_lr=0.1), fewstep.R2D2(), fewstep.MatchingNet())


@pytest.mark.parametrize("algorithm", MAKES_HEAD, ids=lambda algorithm: type(algorithm).__name__)
@pytest.mark.parametrize("ways", [2, 3, 7])
def test_algorithms_that_make_heads_adapt_to_any_number_of_classes(algorithm, ways, tmp_path):
    support, query = smooth_task(ways=ways)
    made = fewstep.learner_of(smooth_net(ways=3), algorithm, norm="support")
    model = fewstep.adapt(made, support)
    expected = made.for_evaluation().predict(made.for_evaluation().adapt(support), query.x)
    torch.testing.assert_close(model(query.x), expected, rtol=1e-9, atol=1e-9)
    assert model.fewstep.classes == tuple(map(str, range(ways)))
    assert all(one.novelty is not None for one in model.fewstep.predict(query.x))
    model.fewstep.save(tmp_path / "made.fewstep")
    assert torch.equal(fewstep.load(tmp_path / "made.fewstep", net=smooth_net())(query.x), model(query.x))


@pytest.mark.parametrize(
    ("labels", "classes", "wrong"),
    [
        ([0, 0, 1, 1, 2, 2], ("ash", "oak"), "2 names of classes for a support set of 3 classes"),
        ([0, 0, 1, 1, 3, 3], None, r"class ids \[0, 1, 3\], expected 0, 1, ..."),
        ([0, 0, 1, 1, 1, 1], None, r"has 2 classes, this learner tells 3 apart: the head of MAML has a fixed width"),
        ([0.0] * 6, None, "expected a class id each"),
    ],
)
def test_a_support_set_that_does_not_fit_says_how(labels, classes, wrong):
    support = Examples(smooth_task().support.x, torch.tensor(labels))
    with pytest.raises(ValueError, match=wrong):
        fewstep.adapt(learner(), support, classes=classes)


def test_a_folder_needs_a_learner_of_images_and_two_classes(run, leaves, tmp_path):
    with pytest.raises(ValueError, match="was not trained on image files; give Examples"):
        fewstep.adapt(learner(), leaves)
    with pytest.raises(ValueError, match=r"has 0 class folders with images, expected two or more: .*/CLASS/IMAGE"):
        fewstep.adapt(run, leaves / "ash")
    with pytest.raises(ValueError, match="is no folder"):
        fewstep.adapt(run, tmp_path / "nothing")
