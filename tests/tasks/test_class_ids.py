from pathlib import Path

import pytest
import torch

from builders import image_splits
from fewstep.tasks.augmentation import Augmentation, augmented
from fewstep.tasks.class_ids import with_class_ids
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tasks.splits import Splits


def noiseless(**fields) -> Splits:
    """A class is one pattern, so that an image tells its class."""
    return image_splits(ways=4, shots=1, queries=2, classes=7, noise=0.0, **fields)


@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation(rotations=True), Augmentation(noise=1e-6), Augmentation(flip=True)]
)
def test_a_query_has_the_id_of_its_class_and_keeps_it_from_task_to_task(augmentation: Augmentation):
    splits = augmented(noiseless(), augmentation)
    train = with_class_ids(splits).train
    classes = 28 if augmentation.rotations else 7
    assert train.outputs == classes
    seen: dict[int, list[torch.Tensor]] = {}
    for step in range(12):
        task = train.sample(0, "train", step, 3)
        for image, label in zip(task.query.x.flatten(0, 1), task.query.y.flatten(), strict=True):
            seen.setdefault(int(label), []).append(image)
    assert set(seen) <= set(range(classes))
    for images in seen.values():
        kinds = [image if (image - images[0]).abs().max() < 1e-4 else image.flip(-1) for image in images]
        assert all((kind - images[0]).abs().max() < 1e-4 for kind in kinds)
    firsts = torch.stack([images[0] for images in seen.values()]).flatten(1)
    assert torch.pdist(firsts).min() > 0.1  # two ids, two patterns


def test_images_and_support_sets_are_those_of_the_source():
    splits = noiseless()
    found, expected = (one.train.sample(3, "train", 5, 2) for one in (with_class_ids(splits), splits))
    assert torch.equal(found.support.y, expected.support.y)
    assert torch.equal(found.support.x, expected.support.x)
    assert torch.equal(found.query.x, expected.query.x)


def test_validation_and_test_keep_their_tasks():
    splits = noiseless()
    assert with_class_ids(splits)[1:] == splits[1:]


def test_tasks_that_are_not_drawn_from_classes_are_refused():
    with pytest.raises(ValueError, match="not drawn from classes"):
        with_class_ids(Sinusoid().build(Path("unused")))
