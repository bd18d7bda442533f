import numpy as np
import numpy.typing as npt
import pytest

from fewstep.tasks.cache import NamedClasses
from fewstep.tasks.stroke_drawing import draw_alphabets
from fewstep.tasks.stroke_geometry import CONTROLS, SAMPLES, TURNS, attach, curve, ink, keep_inside, path


@pytest.fixture(scope="module")
def strokes() -> NamedClasses:
    return draw_alphabets(seed=0, alphabets=3, drawers=8)


def darkness(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return 1 - images / 255.0


def alphabet_of(names: list[str]) -> npt.NDArray[np.str_]:
    return np.array([name.split("/")[0] for name in names])


def test_shapes_names_and_counts_are_those_that_were_asked_for():
    classes = draw_alphabets(seed=3, alphabets=2, drawers=3, size=20, minimum_characters=4, maximum_characters=6)
    _, counts = np.unique(alphabet_of(classes.names), return_counts=True)
    assert classes.images.shape == (len(classes.names), 3, 20, 20)
    assert classes.images.dtype == np.uint8
    assert len(set(classes.names)) == len(classes.names)
    assert classes.names[0] == "alphabet00/character01"
    assert len(counts) == 2
    assert set(counts) <= {4, 5, 6}


def test_the_same_seed_draws_the_same_alphabets(strokes):
    again = draw_alphabets(seed=0, alphabets=3, drawers=8)
    assert again.names == strokes.names
    assert np.array_equal(again.images, strokes.images)


def test_another_seed_draws_other_alphabets(strokes):
    other = draw_alphabets(seed=1, alphabets=1, drawers=8)
    assert not np.array_equal(other.images[:20], strokes.images[:20])


def test_an_alphabet_does_not_depend_on_how_many_are_drawn(strokes):
    alone = draw_alphabets(seed=0, alphabets=1, drawers=8, first=2)
    among = alphabet_of(strokes.names) == "alphabet02"
    assert alone.names == [name for name in strokes.names if name.startswith("alphabet02/")]
    assert np.array_equal(alone.images, strokes.images[among])


def test_every_picture_has_plausible_ink_on_a_white_border(strokes):
    fractions = darkness(strokes.images).mean(axis=(2, 3))
    border = np.ones((28, 28), dtype=bool)
    border[1:-1, 1:-1] = False
    assert 0.05 < fractions.mean() < 0.11  # Omniglot at 28 x 28: 0.081
    assert fractions.min() > 0.002  # a dot
    assert fractions.max() < 0.35
    assert (strokes.images[:, :, border] == 255).all()
    assert strokes.images.min() == 0


def test_drawers_differ(strokes):
    distances = np.abs(darkness(strokes.images[:, 0]) - darkness(strokes.images[:, 1])).sum(axis=(1, 2))
    assert distances.min() > 1


def test_characters_of_one_alphabet_are_distinct(strokes):
    """The means over drawers of two characters differ by more than a fifth of the ink of one."""
    means = darkness(strokes.images[alphabet_of(strokes.names) == "alphabet00"]).mean(axis=1)
    distances = np.abs(means[:, None] - means).sum(axis=(2, 3)) + np.diag(np.full(len(means), np.inf))
    assert (distances.min(axis=1) > 0.2 * means.sum(axis=(1, 2))).all()


def test_the_nearest_picture_is_informative_but_not_enough(strokes):
    """5 ways, 1 shot, chance 20 %: nearest pixels reach 47 % on Omniglot."""
    pixels = darkness(strokes.images).reshape(*strokes.images.shape[:2], -1)
    rng = np.random.default_rng(0)
    correct = []
    for _ in range(300):
        ways = rng.choice(len(pixels), 5, replace=False)
        shot, query = rng.choice(8, 2, replace=False)
        distances = ((pixels[ways, shot][None] - pixels[ways, query][:, None]) ** 2).sum(-1)
        correct.append((distances.argmin(axis=1) == np.arange(5)).mean())
    assert 0.35 < np.mean(correct) < 0.7


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("seed", -1),
        ("alphabets", 0),
        ("drawers", 0),
        ("size", 4),
        ("minimum_characters", 0),
        ("maximum_characters", 3),
        ("first", -1),
    ],
)
def test_a_number_out_of_range_is_named_with_its_value(argument, value):
    arguments = {"seed": 0, "alphabets": 1} | {argument: value}
    with pytest.raises(ValueError, match=f"{argument}={value} "):
        draw_alphabets(**arguments)


def test_a_turtle_that_never_turns_walks_a_centred_line_of_length_one():
    points = path(np.zeros(TURNS))
    assert np.allclose(points, np.stack([np.linspace(-0.5, 0.5, CONTROLS), np.zeros(CONTROLS)], axis=-1))


@pytest.mark.parametrize("roundness", [0.0, 0.5, 1.0])
def test_a_curve_passes_through_its_control_points(roundness):
    controls = np.random.default_rng(0).normal(size=(CONTROLS, 2))
    samples = curve(controls, np.array(roundness))
    assert np.allclose(samples[:: (SAMPLES - 1) // TURNS], controls)


def test_an_attached_stroke_starts_where_it_was_told_to():
    line = np.stack([np.linspace(0, 1, SAMPLES), np.zeros(SAMPLES)], axis=-1)
    strokes = np.stack([line, line[:, ::-1]])[None, None]  # one to the right, one down
    at = np.zeros((1, 1, 2))
    placed = attach(strokes, np.zeros((1, 2), dtype=np.int64), at + 1.0, at, np.zeros((1, 1, 2, 2)))
    assert np.allclose(placed[0, 0, 0], line)
    assert np.allclose(placed[0, 0, 1, [0, -1]], [[1, 0], [1, 1]])


def test_a_drawing_that_is_too_large_is_shrunk_to_the_margins():
    large = np.random.default_rng(0).normal(size=(2, SAMPLES, 2)) * [4, 1]
    kept = keep_inside(large, 0.1)
    assert np.isclose(kept[..., 0].min(), 0.1)
    assert np.isclose(kept[..., 0].max(), 0.9)


def test_a_pen_that_stays_put_leaves_a_disc():
    """On a canvas of 40 x 40 a radius of 1.5 fine pixels covers 3 x 3, all in the block of fine pixel (21, 21)."""
    picture = ink(np.full((1, 1, 2), 21.5 / 40), np.array([1.5 / 40]), size=10)
    expected = np.full((10, 10), 255)
    expected[5, 5] = 255 - 9 * 255 // 16
    assert np.array_equal(picture[0], expected)
