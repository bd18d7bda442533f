import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewstep.novelty import Reference, nearest_distances, novelty


def at_distance(*distances: float) -> torch.Tensor:
    """Unit vectors at these cosine distances from (1, 0): cos of the angle is 1 − d."""
    angles = torch.tensor([math.acos(1 - d) for d in distances], dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def reference(*left_out: float) -> Reference:
    return Reference(at_distance(0), torch.tensor(left_out, dtype=torch.float64))


def test_novelty_is_the_share_of_left_out_distances_not_exceeded_with_straight_lines_between_them():
    """Two left out at 0.2 and 0.6, so thirds: 0 at 0, 1/3 at 0.2, 2/3 at 0.6; halfway, halves of a third; beyond, at
    twice the last, 1 − 0.6 / 1.2 of the last third.
    """
    found = novelty(reference(0.2, 0.6), at_distance(0, 0.1, 0.2, 0.4, 0.6, 1.2))
    expected = torch.tensor([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_the_nearest_support_example_counts_and_lengths_do_not():
    others = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    found = nearest_distances(torch.tensor([[5.0, 0.0], [1.0, 1.0], [-1.0, 0.0]]), others)
    torch.testing.assert_close(found, torch.tensor([0.0, 1 - math.sqrt(0.5), 1.0]))


def test_without_left_out_classes_there_is_no_novelty():
    assert novelty(reference(), at_distance(0.3)) is None


@pytest.mark.parametrize("count", [2, 5, 50])
def test_an_image_of_the_same_kind_as_the_left_out_has_a_novelty_that_is_uniform(count):
    """Mean ½ and variance 1/12 of a uniform variable; of 4000 draws the mean is within 0.02 (4 standard errors)."""
    generator = torch.Generator().manual_seed(0)
    distances = torch.rand(4000, count + 1, generator=generator, dtype=torch.float64)
    scores = [float(novelty(reference(*sorted(row[1:])), at_distance(row[0]))) for row in distances.tolist()]
    assert abs(sum(scores) / len(scores) - 0.5) < 0.02
    assert abs(sum((score - 0.5) ** 2 for score in scores) / len(scores) - 1 / 12) < 0.03


@given(st.lists(st.floats(0.001, 1.9), min_size=1, max_size=8), st.lists(st.floats(0, 1.9), min_size=2, max_size=6))
def test_novelty_is_in_the_unit_interval_and_grows_with_the_distance(left_out, distances):
    found = novelty(reference(*sorted(left_out)), at_distance(*sorted(distances)))
    assert ((found >= 0) & (found < 1)).all()
    assert (found.diff() >= -1e-9).all()
