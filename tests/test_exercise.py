import json
import logging
import re
from collections.abc import Iterator

import pytest
from rich.progress import Task, TaskID

from fewstep.cli import main
from fewstep.cli.progress import Rate
from fewstep.exercise import last_line, train_and_test
from fewstep.journal import newest_update
from record_builders import result_of

NAME = "sinusoid-10s-maml"
SMALL = [
    *["--net.hidden", "8", "--threads", "1", "--chunk", "1", "--updates", "3"],
    *["--training.meta-batch", "2", "--training.validation-tasks", "4", "--evaluation.tasks", "201"],
]
BAR = r"testing ━+ 3/3 \[\d\d:\d\d<00:00, [\d.]+(it/s|s/it)\]"
"""201 tasks are three blocks."""


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    yield
    logging.getLogger("fewstep").handlers.clear()


@pytest.fixture
def exercise(tmp_path, capsys):
    """Run the exercise into `OUT/NAME`; its code, lines and what it said beside them."""

    def run(*words: str) -> tuple[int, list[str], str]:
        capsys.readouterr()
        code = train_and_test(NAME, words=["unused", str(tmp_path), *SMALL, *words])
        told = capsys.readouterr()
        return code, told.out.splitlines(), told.err

    return run


def test_an_exercise_shows_the_test_bar_and_ends_with_the_line_of_its_result(exercise, tmp_path):
    code, lines, beside = exercise()
    assert code == 0
    assert re.search(BAR, beside)
    loss = json.loads((tmp_path / NAME / "result.json").read_text())["at_step"][-1][0]
    assert lines[-1] == f"Testing loss: {loss:.3f}"


def test_a_finished_exercise_is_tested_again_to_the_same_line(exercise, tmp_path):
    first = exercise()[1]
    (tmp_path / NAME / "result.json").unlink()
    code, lines, beside = exercise()
    assert (code, lines) == (0, first)
    assert re.search(BAR, beside)


def test_an_unfinished_exercise_is_resumed_to_the_result_of_an_unbroken_one(exercise, tmp_path):
    exercise("--minutes", "0")
    assert newest_update(tmp_path / NAME) == 1
    resumed = exercise()[1]
    assert newest_update(tmp_path / NAME) == 3
    assert main(["train", NAME, *SMALL, "--out", str(tmp_path / "unbroken")]) == 0
    assert resumed[-1] == last_line(tmp_path / "unbroken")


def test_an_exercise_with_other_options_than_the_run_in_its_folder_is_refused(exercise):
    exercise()
    code, lines, beside = exercise("--updates", "4", "--evaluation.steps", "2")
    assert (code, lines) == (1, [])
    assert "holds a run of sinusoid-10s-maml with another training, evaluation; give the options" in beside
    code, _, beside = exercise("--seed", "1")
    assert code == 1
    assert "with another seed" in beside


def test_a_third_folder_is_wrong_usage(capsys):
    assert train_and_test(NAME, words=["data", "out", "more"]) == 2
    assert "expected [data folder] [output folder] [options], got data out more" in capsys.readouterr().err


def test_an_accuracy_is_told_as_an_accuracy(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(result_of([0.9534], updates=1)))
    assert last_line(tmp_path) == "Testing accuracy: 0.953"


@pytest.mark.parametrize(
    ("seconds", "done", "total", "told"),
    [
        (0.0, 0, None, "0/? [00:00<?, ?it/s]"),
        (2.0, 4, 6, "4/6 [00:02<00:01, 2.0it/s]"),
        (12.0, 6, 6, "6/6 [00:12<00:00, 2.0s/it]"),
        (7200.0, 3, 6, "3/6 [2:00:00<2:00:00, 2400.0s/it]"),
    ],
)
def test_the_bar_tells_time_and_rate_as_tqdm_does(seconds, done, total, told):
    task = Task(TaskID(0), "", total, done, _get_time=lambda: seconds)
    task.start_time = 0.0
    assert Rate().render(task).plain == told
