import dataclasses

import numpy as np
import pytest
import torch

import fewstep
from builders import image_splits
from fewstep.core import Task
from fewstep.tasks.augmentation import Augmentation, augmented
from fewstep.tasks.splits import Tasks
from run_builders import SINUSOIDS, few_strokes

SPLITS = image_splits()
EVERYTHING = Augmentation(rotations=True, crop=2, flip=True, noise=0.1)
VECTORS = fewstep.from_tensors(torch.rand(60, 4), np.arange(60) % 10).tasks(ways=2, shots=1, queries=2)
FLOATS = fewstep.from_tensors(torch.rand(60, 1, 5, 5), np.arange(60) % 10).tasks(ways=2, shots=1, queries=2)


def drawn(tasks: Tasks, count: int = 200, step: int = 0) -> Task:
    return tasks.sample(0, "train", step, count)


def same(a: Task, b: Task) -> bool:
    return all(torch.equal(x, y) for one, other in zip(a, b, strict=True) for x, y in zip(one, other, strict=True))


def test_by_default_nothing_changes():
    assert augmented(SPLITS, Augmentation()) is SPLITS


def test_validation_and_test_are_never_changed():
    changed = augmented(SPLITS, EVERYTHING)
    assert changed.val is SPLITS.val
    assert changed.test is SPLITS.test
    assert not same(drawn(changed.train, 2), drawn(SPLITS.train, 2))


def test_tasks_are_functions_of_seed_stream_and_step():
    train = augmented(SPLITS, EVERYTHING).train
    first = train.sample(3, "train", 7, 4)
    assert same(first, train.sample(3, "train", 7, 4))
    for where in ((4, "train", 7), (3, "audit", 7), (3, "train", 8)):
        assert not same(first, train.sample(*where, 4))


@pytest.mark.parametrize("splits", [SPLITS, FLOATS], ids=["bytes", "floats"])
def test_rotations_are_classes_of_their_own_that_are_told_apart(splits):
    turned = augmented(splits, Augmentation(rotations=True)).train
    assert len(turned.classes) == 4 * len(splits.train.classes)
    assert turned.class_names == splits.train.class_names
    upright = [torch.as_tensor(x / 255 if splits is SPLITS else x) for x in source_of(splits.train)]
    known = {rounded(x.rot90(turns, (-2, -1))) for x in upright for turns in range(4)}
    seen = {rounded(x) for x in drawn(turned).support.x.flatten(0, 1)}
    assert seen <= known
    assert len(seen) > 2 * len(upright)


def source_of(tasks: Tasks) -> list[torch.Tensor]:
    rows = [c.start + i for c in tasks.classes for i in range(c.size)]
    return [(tasks.images if hasattr(tasks, "images") else tasks.x)[row] for row in rows]


def rounded(x: torch.Tensor) -> tuple[int, ...]:
    return tuple((255 * x).round().int().flatten().tolist())


def test_a_crop_is_the_image_moved_with_its_border_repeated():
    task, plain = drawn(augmented(SPLITS, Augmentation(crop=2)).train), drawn(SPLITS.train)
    moves = set()
    for cropped, whole in ((task.support.x, plain.support.x), (task.query.x, plain.query.x)):
        for found, image in zip(cropped.flatten(0, 1)[:300], whole.flatten(0, 1)[:300], strict=True):
            padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")
            windows = {(r, c): padded[:, r : r + 5, c : c + 5] for r in range(5) for c in range(5)}
            at = [move for move, window in windows.items() if torch.equal(window, found)]
            assert at
            moves |= set(at)
    assert len(moves) == 25


def test_half_of_the_images_are_mirrored():
    task, plain = drawn(augmented(SPLITS, Augmentation(flip=True)).train), drawn(SPLITS.train)
    is_plain, is_mirrored = ((task.query.x == x).flatten(2).all(-1) for x in (plain.query.x, plain.query.x.flip(-1)))
    assert (is_plain | is_mirrored).all()
    assert is_mirrored.float().mean().item() == pytest.approx(0.5, abs=0.07)  # five standard deviations, √(¼ / 1200)


@pytest.mark.parametrize("splits", [SPLITS, VECTORS, SINUSOIDS], ids=["images", "vectors", "values"])
def test_noise_has_its_standard_deviation_on_inputs_and_none_on_targets(splits):
    task, plain = drawn(augmented(splits, Augmentation(noise=0.3)).train), drawn(splits.train)
    for noisy, clean in zip(task, plain, strict=True):
        noise = noisy.x - clean.x
        assert noise.std().item() == pytest.approx(0.3, rel=0.2)
        assert noise.mean().item() == pytest.approx(0.0, abs=0.06)
        assert torch.equal(noisy.y, clean.y)
    assert not torch.equal(task.support.x[:, :1] - plain.support.x[:, :1], task.query.x[:, :1] - plain.query.x[:, :1])


@pytest.mark.parametrize("field", ["rotations", "crop", "flip"])
@pytest.mark.parametrize("splits", [VECTORS, SINUSOIDS], ids=["vectors", "values"])
def test_what_needs_images_is_refused_without(splits, field):
    with pytest.raises(
        ValueError, match=rf"augmentation\.{field} needs images .* inputs of shape \({splits.train.inputs[0]},"
    ):
        augmented(splits, Augmentation(**{field: 1 if field == "crop" else True}))


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (few_strokes(rotations=True), "turned already"),
        (fewstep.from_tensors(torch.rand(60, 1, 5, 6), np.arange(60) % 10).tasks(ways=2), "as high as wide, got 5 × 6"),
        (
            fewstep.from_function(lambda rng: (rng.normal(size=(20, 1, 4, 4)), np.zeros(20))).tasks(),
            "these tasks have none",
        ),
    ],
    ids=["turned", "wide", "no classes"],
)
def test_rotations_that_cannot_be_new_classes_are_refused(splits, said):
    with pytest.raises(ValueError, match=said):
        augmented(splits, Augmentation(rotations=True))


@pytest.mark.parametrize("fields", [{"crop": -1}, {"noise": -0.1}])
def test_negative_amounts_are_errors(fields):
    with pytest.raises(ValueError, match="crop ≥ 0 and noise ≥ 0"):
        Augmentation(**fields)


def test_the_summary_says_what_is_done():
    assert "augmentation" not in SPLITS.summary
    assert augmented(SPLITS, EVERYTHING).summary["augmentation"]["crop"] == 2


def test_a_learner_trained_on_augmented_tasks_resumes_bit_for_bit(tmp_path):
    tasks = augmented(SPLITS, dataclasses.replace(EVERYTHING, rotations=False))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(25, 3))
    arguments = {"training": fewstep.Training(meta_batch=2), "mapping": fewstep.Mapping()}
    runs = [fewstep.train(net, fewstep.MAML(inner_lr=0.1), tasks, updates=4, **arguments)]
    stopped = fewstep.train(net, fewstep.MAML(inner_lr=0.1), tasks, updates=4, out=tmp_path, minutes=0, **arguments)
    assert stopped.update < 4
    runs.append(fewstep.train(net, fewstep.MAML(inner_lr=0.1), tasks, updates=4, out=tmp_path, **arguments))
    first, second = (run.learner.parameters() for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
