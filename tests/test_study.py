"""What a study is, which runs it has and which of them are done; what is stated of the assignment."""

import dataclasses
import re

import pytest

from fewstep import recipes, studies
from fewstep.study import Stated, is_done, jobs_of, note_error, read_errors, records_by_system, study_of
from record_builders import result_of, train_rows, write_record

MAML, ADAGRAD = "course-5w1s-maml", "course-5w1s-adagrad"


def test_the_half_widths_of_the_assignment_are_those_of_its_600_predictions():
    """1.96 √(.82 · .18 / 600) = 3.07, 1.96 √(.925 · .075 / 600) = 2.11, 1.96 √(.9583 · .0417 / 600) = 1.60 points."""
    widths = [100 * Stated(right, 600).half_width for right in (492, 555, 575)]
    assert widths == pytest.approx([3.074, 2.108, 1.599], abs=1e-3)


def test_every_recipe_of_a_study_exists_and_has_its_pseudo_code():
    for study in studies.ALL:
        names = [system.recipe for system in study.systems]
        assert [recipes.find(name).name for name in names] == names
        assert all(system.pseudocode for system in study.systems)
        assert set(study.pair) <= set(names)
        assert {claim.larger for claim in study.claims} | {claim.smaller for claim in study.claims} <= set(names)


def test_the_pseudo_code_has_the_numbers_of_the_recipe():
    for system in studies.ASSIGNMENT.systems:
        recipe = recipes.find(system.recipe)
        assert f" {recipe.training.meta_batch} " in system.pseudocode
        if recipe.algorithm.inner_steps:
            assert re.search(rf"[ (]{recipe.algorithm.inner_lr:g}\b", system.pseudocode), system.recipe


def test_what_the_assignment_states_stands_beside_the_system_it_belongs_to():
    stated = {system.recipe: system.stated and system.stated.right for system in studies.ASSIGNMENT.systems}
    found = {recipe: right for recipe, right in stated.items() if right is not None}
    assert found == {"course-5w1s-fomaml": 492, ADAGRAD: 555, "course-5w1s-doa": 575}


def test_runs_come_seed_by_seed_into_folders_of_their_own(tmp_path):
    jobs = jobs_of(study_of([MAML, ADAGRAD]), tmp_path, seeds=2, updates=7)
    assert [job.folder.name for job in jobs] == [f"{MAML}-s0", f"{ADAGRAD}-s0", f"{MAML}-s1", f"{ADAGRAD}-s1"]
    assert {job.recipe.training.updates for job in jobs} == {7}


def test_a_run_that_is_there_is_taken_as_it_is_whatever_its_folder_is_called(tmp_path):
    recipe = recipes.find(MAML)
    shorter = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, updates=99))
    write_record(tmp_path / "trained-elsewhere", shorter)
    first, second = jobs_of(study_of([MAML]), tmp_path, seeds=2, updates=7)
    assert (first.folder.name, first.recipe.training.updates) == ("trained-elsewhere", 99)
    assert (second.folder.name, second.recipe.training.updates) == (f"{MAML}-s1", 7)


@pytest.mark.parametrize(
    ("logged", "tested", "minutes", "done"),
    [
        (800, 800, None, True),
        (800, None, None, False),  # trained, not tested
        (60, 60, None, False),  # stopped early, and now there is time
        (60, 60, 1.0, False),  # 30 of 60 seconds spent
        (60, 60, 0.5, True),
        (60, 40, 0.5, False),  # went on since its test
    ],
)
def test_a_run_is_done_when_tested_as_it_is_at_its_end_or_with_its_time_spent(logged, tested, minutes, done, tmp_path):
    result = None if tested is None else result_of([0.5, 0.7], updates=tested)
    record = write_record(tmp_path / "run", MAML, train_rows([0.5] * logged), result)
    assert is_done(record, minutes) is done


def test_runs_are_read_by_system_and_seed_and_those_of_other_recipes_left_out(tmp_path):
    write_record(tmp_path / "later", MAML, seed=1)
    write_record(tmp_path / "nearer", MAML, seed=0)
    write_record(tmp_path / "other", "omniglot-5w1s-maml")
    found = records_by_system(study_of([MAML, ADAGRAD]), tmp_path)
    assert {recipe: [record.seed for record in records] for recipe, records in found.items()} == {
        MAML: [0, 1],
        ADAGRAD: [],
    }


def test_errors_are_kept_until_they_are_past(tmp_path):
    note_error(tmp_path / "new", "a-s0", None)
    assert not (tmp_path / "new").exists()
    note_error(tmp_path, "a-s0", "no data")
    note_error(tmp_path, "b-s0", "diverged")
    note_error(tmp_path, "a-s0", None)
    assert read_errors(tmp_path) == {"b-s0": "diverged"}


def test_a_study_of_the_same_recipe_twice_has_it_once():
    assert [system.label for system in study_of([MAML, MAML]).systems] == [MAML]
