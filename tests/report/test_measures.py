"""What is read off runs, against numbers worked out by hand."""

import pytest

from fewstep.report.claims import judged
from fewstep.report.measures import seconds_per_update, spread, updates_to_level
from fewstep.study import Claim
from record_builders import train_rows, write_record

STEEPER = Claim(text="", measure="updates to the level", larger="a", smaller="b")
STEADIER = Claim(text="", measure="spread", larger="a", smaller="b")


def record(folder, values, **fields):
    return write_record(folder, "course-5w1s-maml", train_rows(values), **fields)


def test_the_level_is_reached_when_the_mean_of_the_last_twenty_reaches_it(tmp_path):
    """With 0.5 before and 1.0 after update 10, twenty updates hold 12 ones and 8 halves first at update 22."""
    run = record(tmp_path / "run", [0.5] * 10 + [1.0] * 30)
    assert updates_to_level(run, level=0.8) == 22
    assert updates_to_level(run, level=1.0) == 30
    assert updates_to_level(record(tmp_path / "short", [1.0] * 19)) is None


def test_the_spread_is_the_standard_deviation_of_the_last_third(tmp_path):
    """.8 and .9 by turns: std √(6 · .05² / 5) = 0.0548; by sampling √(.85 · .15 / 160), 32 tasks of 5 queries."""
    found = spread(record(tmp_path / "run", [0.1] * 12 + [0.8, 0.9] * 3))
    assert found is not None
    assert found.std == pytest.approx((6 * 0.05**2 / 5) ** 0.5)
    assert found.sampling == pytest.approx((0.85 * 0.15 / 160) ** 0.5)
    assert found.logged == 6


def test_the_time_of_an_update_is_the_median(tmp_path):
    rows = train_rows([0.5] * 3)
    rows[1]["seconds"] = 100.0
    assert seconds_per_update(write_record(tmp_path / "run", "course-5w1s-maml", rows)) == 0.5


def test_a_claim_holds_where_every_seed_says_so_and_is_open_where_they_differ(tmp_path):
    late, soon = [0.5] * 20 + [0.9] * 40, [0.9] * 60
    slow = [record(tmp_path / f"slow{seed}", late, seed=seed) for seed in (0, 1)]
    fast = [record(tmp_path / "fast0", soon, seed=0), record(tmp_path / "fast1", late, seed=1)]
    assert judged(STEEPER, slow[:1], fast[:1]).supported is True
    assert judged(STEEPER, fast[:1], slow[:1]).supported is False
    assert judged(STEEPER, slow, fast).supported is None
    assert judged(STEEPER, slow[1:], fast[:1]) is None


def test_one_that_never_reaches_the_level_climbs_less_steeply(tmp_path):
    verdict = judged(STEEPER, [record(tmp_path / "never", [0.5] * 60)], [record(tmp_path / "soon", [0.9] * 60)])
    assert (verdict.supported, verdict.larger, verdict.smaller) == (True, [None], [20.0])


def test_a_spread_that_chance_can_explain_decides_nothing(tmp_path):
    """Of 20 values a standard deviation is known to 1 / √38 = 16 %; of the ratio, 1.96 √2 · 16 % = 45 %."""
    runs = {size: record(tmp_path / str(size), [0.8, 0.8 + size] * 30) for size in (0.02, 0.026, 0.06)}
    assert judged(STEADIER, [runs[0.026]], [runs[0.02]]).supported is None
    assert judged(STEADIER, [runs[0.06]], [runs[0.02]]).supported is True
    assert judged(STEADIER, [runs[0.02]], [runs[0.06]]).supported is False


def test_a_cut_run_and_a_whole_one_are_compared_over_what_both_did(tmp_path):
    whole, cut = record(tmp_path / "whole", [0.5] * 50 + [0.9] * 50), record(tmp_path / "cut", [0.9] * 40)
    verdict = judged(STEEPER, [whole], [cut])
    assert (verdict.until, verdict.larger) == (40, [None])
