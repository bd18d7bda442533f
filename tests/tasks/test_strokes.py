from pathlib import Path
from typing import NoReturn

import pytest
import torch

from fewstep.tasks import strokes
from fewstep.tasks.strokes import Strokes, alphabet_number
from run_builders import FEW_ALPHABETS, few_strokes


def stop() -> NoReturn:
    raise InterruptedError


def test_the_splits_have_alphabets_of_their_own():
    splits = few_strokes()
    alphabets = [{alphabet_number(name) for name in tasks.class_names} for tasks in splits[:3]]
    assert alphabets == [{0, 1}, {2}, {3}]


def test_two_builds_give_the_same_tasks():
    first, second = (few_strokes(ways=3, shots=2, queries=2) for _ in range(2))
    assert first.summary == second.summary
    for mine, theirs in zip(first[:3], second[:3], strict=True):
        a, b = (tasks.sample(0, "train", 0, 3) for tasks in (mine, theirs))
        assert torch.equal(a.support.x, b.support.x)
        assert torch.equal(a.query.x, b.query.x)


def test_the_alphabets_are_drawn_once_and_read_from_the_cache_afterwards(monkeypatch):
    few_strokes()
    monkeypatch.setattr(strokes, "draw_alphabets", pytest.fail)
    assert few_strokes(ways=20).train.sample(0, "train", 0, 1).support.x.shape == (1, 20, 1, 28, 28)


@pytest.mark.parametrize("change", [{"drawing_seed": 1}, {"drawers": 8}, {"size": 20}])
def test_what_is_drawn_otherwise_does_not_come_from_the_cache_of_the_rest(change, monkeypatch):
    few_strokes()
    asked: list[dict[str, int]] = []
    monkeypatch.setattr(strokes, "cached", lambda name, key, make: asked.append(key) or stop())
    for fields in ({}, change):
        with pytest.raises(InterruptedError):
            few_strokes(**fields)
    assert asked[0] != asked[1]


def test_rotations_multiply_the_training_classes_alone():
    upright, turned = few_strokes(), few_strokes(rotations=True)
    assert len(turned.train.classes) == 4 * len(upright.train.classes)
    assert turned.train.class_names == upright.train.class_names
    assert {c.quarter_turns for c in turned.train.classes} == {0, 1, 2, 3}
    assert turned.val.classes == upright.val.classes
    assert turned.test.classes == upright.test.classes


def test_the_summary_counts_the_classes_and_its_hash_changes_with_them():
    few = few_strokes()
    assert few.summary["classes"] == {
        name: len(tasks.classes) for name, tasks in zip(few._fields, few[:3], strict=False)
    }
    fewer = Strokes(**{**FEW_ALPHABETS, "train_alphabets": 1, "val_alphabets": 2}).build(
        Path("unused")
    )  # same drawings
    assert fewer.summary["hash"] != few.summary["hash"]


def test_ink_is_dark_on_white_paper():
    pixels = few_strokes().train.sample(0, "train", 0, 8).support.x
    assert pixels.median() == 1
    assert pixels.min() == 0
    assert 0.8 < pixels.mean() < 0.97


def test_more_queries_than_drawers_leave_is_an_error_that_names_a_character():
    with pytest.raises(ValueError, match=r"class 'alphabet00/character01' .* has 20 images, needs 21"):
        few_strokes(shots=1, queries=20)
