"""A recipe and an algorithm of one's own, by their import path: for run folders, never for files to pass on."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fewstep import recipes
from fewstep.cli import main
from fewstep.learner_file import Packed, write_learner
from fewstep.recipe import from_json, from_run, to_json
from fewstep.trained import untrained

MODULE = """
from dataclasses import dataclass, replace
from fewstep import MAML, recipes

@dataclass(frozen=True, kw_only=True)
class Mine(MAML):
    inner_lr: float = 0.3

RECIPE = replace(recipes.find("strokes-5w1s-maml"), name="mine", algorithm=Mine(inner_steps=2))
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module `own_recipe` in the working directory."""
    (tmp_path / "own_recipe.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "own_recipe"
    sys.modules.pop("own_recipe", None)


def test_a_recipe_with_an_algorithm_of_ones_own_goes_through_json_and_back():
    recipe = recipes.find("own_recipe:RECIPE")
    values = json.loads(json.dumps(to_json(recipe)))
    assert values["algorithm"]["kind"] == "own_recipe:Mine"
    assert from_run(values) == recipe


def test_it_is_not_imported_on_the_word_of_a_file_that_is_passed_on(tmp_path: Path):
    recipe = recipes.find("own_recipe:RECIPE")
    values = to_json(recipe)
    with pytest.raises(ValueError, match="no code is imported on the word of a learner file"):
        write_learner(tmp_path / "mine.fewstep-learner", Packed(recipe, untrained(recipe).meta, ""))
    del sys.modules["own_recipe"]
    with pytest.raises(ValueError, match=r"recipe\.algorithm: kind 'own_recipe:Mine' is not one of"):
        from_json(values)
    assert "own_recipe" not in sys.modules


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no_such_module_at_all:Mine", "cannot be imported: No module named 'no_such_module_at_all'"),
        ("own_recipe:RECIPE", "is no dataclass"),
        ("own_recipe:replace", "is no dataclass"),
    ],
)
def test_what_is_no_algorithm_is_refused_in_words(kind: str, said: str):
    values = to_json(recipes.find("own_recipe:RECIPE"))
    with pytest.raises(ValueError, match=said):
        from_run({**values, "algorithm": {"kind": kind}})


def test_fields_of_it_are_checked_as_those_of_any_algorithm():
    values = to_json(recipes.find("own_recipe:RECIPE"))
    with pytest.raises(ValueError, match=r"recipe\.algorithm\.inner_lr is 'fast', expected a finite number"):
        from_run({**values, "algorithm": {**values["algorithm"], "inner_lr": "fast"}})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_recipe:Nothing", "recipe 'own_recipe:Nothing' cannot be imported"),
        ("own_recipe:Mine", "recipe 'own_recipe:Mine' is a type, expected a fewstep.Recipe"),
        ("own_recipe:", "is not of the form 'my_module:RECIPE'"),
    ],
)
def test_what_is_no_recipe_is_refused_in_words(name: str, said: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", name, "--dry-run"]) == 1
    assert said in capsys.readouterr().err


def test_its_fields_are_options_with_no_word_of_the_parsers_own(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
):
    few = ["--tasks.train-alphabets", "2", "--tasks.val-alphabets", "1", "--tasks.test-alphabets", "1"]
    assert main(["train", "own_recipe:RECIPE", "--dry-run", "--algorithm.inner-lr", "0.7", *few]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["algorithm"]["inner_lr"] == 0.7
    assert not recwarn.list
