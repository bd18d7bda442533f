import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.core import Task
from fewstep.seeding import numpy_generator
from fewstep.tasks.episodes import ImageClass, ImageTasks, draw_distinct
from run_builders import pattern_tasks


def labelled_tasks(sizes: list[int], **fields: int) -> ImageTasks:
    """Images of 2 × 2 pixels, in the first row the number of their class and their own number within it."""
    pixels = [(c, m, 0, 0) for c, size in enumerate(sizes) for m in range(size)]
    images = np.array(pixels, dtype=np.uint8).reshape(-1, 1, 2, 2)
    starts = np.cumsum([0, *sizes[:-1]])
    classes = [ImageClass(f"class{i}", int(starts[i]), size) for i, size in enumerate(sizes)]
    return ImageTasks(split="train", images=images, classes=classes, **fields)


def numbers(x: torch.Tensor) -> torch.Tensor:
    """The (class, example) of each image: `[T, N, 2]`."""
    return (255 * x).round().long()[..., 0, 0, :]


def same(a: Task, b: Task) -> bool:
    return torch.equal(a.support.x, b.support.x) and torch.equal(a.query.x, b.query.x)


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def test_the_same_seed_stream_and_step_give_the_same_tasks():
    tasks = pattern_tasks()
    assert same(tasks.sample(3, "train", 7, 4), tasks.sample(3, "train", 7, 4))


@pytest.mark.parametrize("where", [(4, "train", 7), (3, "val", 7), (3, "train", 8)])
def test_another_seed_stream_or_step_gives_other_tasks(where):
    tasks = pattern_tasks()
    assert not same(tasks.sample(*where, 4), tasks.sample(3, "train", 7, 4))


def test_shapes_lead_with_the_tasks_and_pixels_are_floats_in_the_unit_interval():
    task = pattern_tasks(ways=3, shots=2, queries=4, side=5).sample(0, "train", 0, 7)
    assert task.support.x.shape == (7, 6, 1, 5, 5)
    assert task.query.x.shape == (7, 12, 1, 5, 5)
    assert task.support.x.dtype == torch.float32
    assert task.support.y.dtype == torch.int64
    assert 0 <= task.support.x.min() < task.support.x.max() <= 1


def test_classes_are_distinct_within_a_task():
    task = labelled_tasks([6] * 8, ways=8, shots=1, queries=2).sample(0, "train", 0, 50)
    classes = numbers(task.support.x)[..., 0]
    assert torch.equal(classes.sort(-1).values, torch.arange(8).expand(50, -1))


def test_support_and_query_examples_are_disjoint():
    task = labelled_tasks([6] * 4, ways=4, shots=2, queries=4).sample(0, "train", 0, 50)
    drawn = torch.cat([numbers(task.support.x), numbers(task.query.x)], dim=1)
    for one in drawn:  # 2 + 4 of 6: every image of every class exactly once
        assert len(one.unique(dim=0)) == 24


def test_query_images_are_of_the_classes_that_their_labels_have_in_the_support_set():
    task = labelled_tasks([6] * 8, ways=3, shots=2, queries=3).sample(0, "train", 0, 50)
    for support, query, i in zip(numbers(task.support.x), numbers(task.query.x), range(50), strict=True):
        class_of = dict(zip(task.support.y[i].tolist(), support[:, 0].tolist(), strict=True))
        assert [class_of[y] for y in task.query.y[i].tolist()] == query[:, 0].tolist()


def test_labels_are_balanced():
    task = pattern_tasks(ways=3, shots=2, queries=4).sample(0, "train", 0, 5)
    for one in range(5):
        assert task.support.y[one].bincount().tolist() == [2, 2, 2]
        assert task.query.y[one].bincount().tolist() == [4, 4, 4]


def test_a_label_says_nothing_about_which_class_it_is():
    task = labelled_tasks([3] * 10, ways=5, shots=1, queries=1).sample(0, "train", 0, 4000)
    counts = np.zeros((5, 10))
    np.add.at(counts, (task.support.y.numpy(), numbers(task.support.x)[..., 0].numpy()), 1)
    assert chi_square(counts) < 100  # 49 degrees of freedom and fewer: 99.99 % lie below 96


def test_distinct_draws_are_uniform_at_every_place():
    drawn = draw_distinct(numpy_generator(0, "test"), np.full((20_000,), 10), 3)
    for place in range(3):
        assert chi_square(np.bincount(drawn[:, place], minlength=10)) < 33.7  # 9 degrees of freedom: 99.99 %


def test_ordered_pairs_of_distinct_draws_are_uniform():
    drawn = draw_distinct(numpy_generator(1, "test"), np.full((20_000,), 10), 2)
    counts = np.bincount(10 * drawn[:, 0] + drawn[:, 1], minlength=100).reshape(10, 10)
    assert (counts.diagonal() == 0).all()
    assert chi_square(counts[~np.eye(10, dtype=bool)]) < 147.5  # 89 degrees of freedom: 99.99 %


@given(st.lists(st.integers(3, 30), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_distinct_draws_are_distinct_and_below_their_own_size(sizes, draws, seed):
    drawn = draw_distinct(np.random.default_rng(seed), np.array(sizes), draws)
    assert drawn.shape == (len(sizes), draws)
    for row, size in zip(drawn.tolist(), sizes, strict=True):
        assert len(set(row)) == draws
        assert all(0 <= number < size for number in row)


def test_drawing_all_of_them_is_a_permutation():
    drawn = draw_distinct(numpy_generator(0, "test"), np.full((4, 2), 7), 7)
    assert (np.sort(drawn, axis=-1) == np.arange(7)).all()


def test_classes_may_have_different_numbers_of_images():
    task = labelled_tasks([2, 9, 3, 200], ways=4, shots=1, queries=1).sample(0, "train", 0, 300)
    drawn = torch.cat([numbers(task.support.x), numbers(task.query.x)], dim=1).reshape(-1, 2)
    for c, size in enumerate([2, 9, 3]):
        examples = drawn[drawn[:, 0] == c, 1]
        assert examples.unique().tolist() == list(range(size))
    assert drawn[drawn[:, 0] == 3, 1].max() > 100


def test_a_turned_class_is_rot90_of_the_upright_picture():
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4)
    images = np.stack([picture, picture])[:, None]
    classes = [ImageClass("A", 0, 2, quarter_turns) for quarter_turns in range(4)]
    tasks = ImageTasks(split="train", images=images, classes=classes, ways=4, shots=1, queries=1)
    seen = {(255 * x[0]).round().byte().numpy().tobytes() for x in tasks.sample(0, "train", 0, 1).support.x[0]}
    assert seen == {np.ascontiguousarray(np.rot90(picture, turns)).tobytes() for turns in range(4)}


def test_turning_a_class_turns_no_other():
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 3, 3), dtype=np.uint8)
    classes = [ImageClass("upright", 0, 2), ImageClass("turned", 2, 2, 3)]
    task = ImageTasks(split="train", images=images, classes=classes, ways=2, shots=1, queries=1).sample(0, "t", 0, 20)
    seen = {x.numpy().tobytes() for x in (255 * task.support.x).round().byte().reshape(-1, 3, 3)}
    expected = [images[0, 0], images[1, 0], np.rot90(images[2, 0], 3), np.rot90(images[3, 0], 3)]
    assert seen == {np.ascontiguousarray(x).tobytes() for x in expected}


def test_random_turns_turn_all_the_images_of_a_class_alike_and_differ_between_tasks():
    picture = np.arange(9, dtype=np.uint8).reshape(3, 3)
    images = np.stack([picture] * 8)[:, None]
    classes = [ImageClass("A", 0, 4), ImageClass("B", 4, 4)]
    tasks = ImageTasks(split="train", images=images, classes=classes, ways=2, shots=2, queries=2, random_turns=True)
    task = tasks.sample(0, "train", 0, 400)
    support, query = task.support.x.reshape(400, 2, 2, 3, 3), task.query.x.reshape(400, 2, 2, 3, 3)
    assert torch.equal(support, support[:, :, :1].expand_as(support))
    assert torch.equal(query, support)
    upright = torch.from_numpy(picture / np.float32(255))
    shares = [(support[:, :, 0] == upright.rot90(turns)).all(-1).all(-1).float().mean().item() for turns in range(4)]
    assert shares == pytest.approx([0.25] * 4, abs=0.08)  # five standard deviations, √(3/16 / 800) each


def test_inverted_pixels_are_one_minus_themselves():
    upright, inverted = (pattern_tasks(inverted=inverted).sample(0, "train", 0, 2) for inverted in (False, True))
    torch.testing.assert_close(inverted.support.x, 1 - upright.support.x, rtol=0, atol=0)
    torch.testing.assert_close(inverted.query.x, 1 - upright.query.x, rtol=0, atol=0)


def test_the_source_is_not_changed():
    tasks = pattern_tasks(random_turns=True, inverted=True)
    before = tasks.images.copy()
    tasks.sample(0, "train", 0, 20)
    assert np.array_equal(tasks.images, before)


def test_inputs_outputs_and_class_names_are_told():
    classes = [ImageClass("oak", 0, 3), ImageClass("oak", 0, 3, 1), ImageClass("elm", 3, 3)]
    images = np.zeros((6, 3, 8, 9), np.uint8)
    tasks = ImageTasks(split="train", images=images, classes=classes, ways=2, shots=1, queries=1)
    assert (tasks.inputs, tasks.outputs, tasks.class_names) == ((3, 8, 9), 2, ["oak", "elm"])


def test_more_ways_than_classes_is_an_error_with_the_numbers():
    with pytest.raises(ValueError, match=r"ways=30 but split 'test' has 20 classes; lower tasks\.ways"):
        pattern_tasks("test", sizes=[6] * 20, ways=30)


def test_too_small_a_class_is_an_error_with_its_name_and_the_numbers():
    images = np.zeros((16, 1, 2, 2), np.uint8)
    classes = [ImageClass("elm", 0, 6), ImageClass("oak", 6, 4), ImageClass("ash", 10, 6)]
    with pytest.raises(ValueError, match=r"class 'oak' .*has 4 images, needs 6 \(1 shot \+ 5 queries\)"):
        ImageTasks(split="train", images=images, classes=classes, ways=2, shots=1, queries=5)


@pytest.mark.parametrize("fields", [{"ways": 1}, {"shots": 0}, {"queries": 0}])
def test_ways_shots_and_queries_out_of_range_are_errors(fields):
    with pytest.raises(ValueError, match="ways ≥ 2, shots ≥ 1 and queries ≥ 1"):
        pattern_tasks(**fields)
