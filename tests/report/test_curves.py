import numpy as np
import pytest
from PIL import Image

from fewstep.journal import Row
from fewstep.report import curves


def rows(metric: str, updates: int, validate_every: int) -> list[Row]:
    found: list[Row] = []
    for update in range(1, updates + 1):
        found.append({"kind": "train", "update": update, "loss": 1 / update, metric: 0.5})
        if update % validate_every == 0:
            found.append({"kind": "validation", "update": update, "score": 0.5, "ci95": 0.6})
    return found


@pytest.mark.parametrize(("metric", "updates", "validate_every"), [("accuracy", 1, 2), ("mse", 1, 2), ("mse", 400, 10)])
def test_curves_are_drawn_for_runs_of_any_length(metric, updates, validate_every, tmp_path):
    path = curves.draw(rows(metric, updates, validate_every), metric, tmp_path / "curves.png")
    with Image.open(path) as picture:
        low, high = picture.convert("L").getextrema()
    assert (low < 100, high) == (True, 255)


def test_curves_of_the_same_rows_are_the_same_bytes(tmp_path):
    one, two = (curves.draw(rows("mse", 5, 2), "mse", tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert one == two


def test_running_mean_is_the_mean_of_the_neighbours_that_there_are():
    found = curves.running_mean(np.array([1.0, 2.0, 6.0, 3.0]), window=3)
    np.testing.assert_allclose(found, [(1 + 2) / 2, (1 + 2 + 6) / 3, (2 + 6 + 3) / 3, (6 + 3) / 2])


def test_running_mean_of_a_window_of_one_is_the_values():
    values = np.array([3.0, 1.0, 2.0])
    np.testing.assert_allclose(curves.running_mean(values, window=1), values)
