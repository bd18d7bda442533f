"""Input of every kind made unsound ends in a result or one clear error. `make fuzz` tries many more."""

import random
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import Target, targets

NUMBERED = range(20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def every(folder) -> list[Target]:
    found = targets(folder / "beside")
    for i, target in enumerate(found):
        target.prepare(folder / str(i))
    return found


def test_every_target_is_numbered(every):
    assert len(every) == len(NUMBERED)


@pytest.mark.parametrize("i", NUMBERED)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(rng=st.randoms(use_true_random=True))
def test_input_made_unsound_ends_in_a_result_or_in_one_clear_error(i, every, folder, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow and numpy warn of what is odd and go on
        assert every[i].ending(every[i].mutated(rng), folder / str(i)) in ("result", "error")


@pytest.mark.parametrize("i", NUMBERED)
def test_sound_input_ends_in_a_result(i, every, folder):
    assert [every[i].ending(seed, folder / str(i)) for seed in every[i].seeds] == ["result"] * len(every[i].seeds)


def test_an_ending_that_is_no_clear_error_is_seen(folder):
    """A guard on the reader of endings itself."""

    def raises(error: Exception) -> Target:
        def read(folder: Path) -> None:
            raise error

        return Target(name="x", file="x.json", seeds=(b"1",), mutate=lambda data, rng: data, read=read)

    assert raises(ValueError("x.json is damaged")).ending(b"", folder) == "error"
    with pytest.raises(AssertionError, match="does not say where"):
        raises(ValueError("bad")).ending(b"", folder)
    with pytest.raises(KeyError):
        raises(KeyError("x.json")).ending(raises(KeyError()).mutated(random.Random(0)), folder)
