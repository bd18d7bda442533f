"""Run folders as they read."""

import json

import pytest

from fewstep.record import read_record, records_in
from record_builders import result_of, train_rows, validation_rows, write_record


def test_a_record_says_how_far_the_run_is(tmp_path):
    rows = [
        *train_rows([0.2, 0.4, 0.6]),
        *validation_rows({2: 0.5}),
        {"kind": "validation", "update": 3, "score": None},
    ]
    record = write_record(tmp_path / "run", "course-5w1s-maml", rows, seed=4)
    assert (record.updates, record.planned, record.seconds, record.seed) == (3, 800, 1.5, 4)
    assert (record.metric, record.threads) == ("accuracy", 2)
    assert [row["score"] for row in record.validated] == [0.5]
    assert not record.is_tested_as_it_is


def test_a_result_that_training_has_outrun_is_not_of_the_run_as_it_is(tmp_path):
    tested, outrun = (
        write_record(
            tmp_path / str(updates), "course-5w1s-maml", train_rows([0.5] * 10), result_of([1.0], updates=updates)
        )
        for updates in (10, 8)
    )
    assert tested.is_tested_as_it_is
    assert not outrun.is_tested_as_it_is


def test_the_runs_of_a_folder_are_those_that_hold_a_recipe(tmp_path):
    for name in ("b", "a"):
        write_record(tmp_path / name, "course-sinusoid-5s-maml")
    (tmp_path / "figures").mkdir()
    assert [record.folder.name for record in records_in(tmp_path)] == ["a", "b"]
    assert records_in(tmp_path)[0].metric == "mse"
    assert records_in(tmp_path / "none") == []


def test_a_damaged_result_is_an_error_that_names_it(tmp_path):
    folder = write_record(tmp_path / "run", "course-5w1s-maml").folder
    (folder / "result.json").write_text("{")
    with pytest.raises(ValueError, match=r"result\.json is damaged"):
        read_record(folder)


def test_a_header_whose_mapping_holds_no_numbers_is_damaged(tmp_path):
    record = write_record(tmp_path / "a", "course-5w1s-maml")
    for mapping in ({"chunk": 4}, {"threads": "Imported", "chunk": 4}):
        (tmp_path / "a" / "recipe.json").write_text(json.dumps({**record.header, "mapping": mapping}))
        with pytest.raises(ValueError, match=r"recipe\.json is damaged: it\.mapping"):
            read_record(tmp_path / "a")
