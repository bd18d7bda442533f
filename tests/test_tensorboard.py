"""The log in TensorBoard, read back from its event files, and in pandas."""

import math
import sys
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from torch import nn

import fewstep
from fewstep.cli import main
from fewstep.journal import METRICS, Journal, Row, checkpoints, read_metrics
from fewstep.run import Watch
from fewstep.tasks.splits import Splits
from fewstep.tensorboard import FOLDER, TensorBoard
from run_builders import TRAINING, pattern_tasks, sinusoid_learner, train_sinusoids

COMMAND = [
    *["train", "sinusoid-10s-maml", "--net.hidden", "8", "--threads", "1", "--chunk", "1"],
    *["--training.meta-batch", "2", "--training.validate-every", "2", "--training.validation-tasks", "4"],
    *["--evaluation.tasks", "4", "--evaluation.steps", "1", "--updates", "4", "--training.checkpoint-every", "2"],
]


@pytest.fixture(autouse=True)
def _names_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event files are read in the order of their names, which are the second and a count, unpadded: 9 follows 10."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def scalars_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads from a run folder: tag to (step, value)."""
    events = EventAccumulator(str(folder / FOLDER), size_guidance={"scalars": 0}).Reload()
    return {tag: [(s.step, s.value) for s in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def numbers_of(rows: list[Row]) -> dict[str, list[tuple[int, float]]]:
    """The same of the rows of a log, as 32-bit numbers."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row["kind"] != "audit":
            for name in row.keys() - {"kind", "update"}:
                value = pytest.approx(row[name], rel=1e-6)
                found.setdefault(f"{row['kind']}/{name}", []).append((row["update"], value))
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main([*COMMAND, "--tensorboard", "--out", str(folder)]) == 0
    return folder


def test_the_command_line_writes_every_number_of_the_log(trained):
    scalars = scalars_of(trained)
    assert scalars == numbers_of(read_metrics(trained / METRICS))
    assert [step for step, _ in scalars["train/loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in scalars["validation/score"]] == [2, 4]


def test_without_the_option_nothing_is_written(tmp_path):
    assert main([*COMMAND, "--out", str(tmp_path / "run")]) == 0
    assert not (tmp_path / "run" / FOLDER).exists()


def killed_after(row: int, folder: Path) -> None:
    """A run that dies when it has seen so many rows, without a word."""

    class KilledError(Exception):
        pass

    board, seen = TensorBoard(folder), []

    def see(one: Row) -> None:
        board(one)
        seen.append(one)
        if len(seen) == row:
            raise KilledError

    with pytest.raises(KilledError):
        train_sinusoids(folder, watch=Watch(see=see))
    board.close()


@pytest.mark.parametrize("row", [2, 7, 8, 9], ids=["before a checkpoint", "beyond one", "at one", "at its validation"])
def test_a_run_that_was_killed_and_goes_on_has_no_step_twice_and_none_too_few(tmp_path, row: int):
    """Checkpoints at 2, 3, 4, 6 and 8, validations at 2, 4, 6 and 8."""
    killed_after(row, tmp_path)
    with TensorBoard(tmp_path) as board:
        train_sinusoids(tmp_path, watch=Watch(see=board))
    scalars = scalars_of(tmp_path)
    assert scalars == numbers_of(read_metrics(tmp_path / METRICS))
    assert [step for step, _ in scalars["train/loss"]] == list(range(1, 9))


def test_a_validation_that_a_crash_left_out_is_written_and_nothing_is_purged(tmp_path):
    """The run died between the checkpoint of update 8 and its validation."""
    with TensorBoard(tmp_path) as board:

        def see(row: Row) -> None:
            if (row["kind"], row["update"]) != ("validation", 8):
                board(row)

        train_sinusoids(tmp_path, watch=Watch(see=see))
    rows = read_metrics(tmp_path / METRICS)
    (tmp_path / METRICS).write_text("".join((tmp_path / METRICS).read_text().splitlines(keepends=True)[:-1]))
    with TensorBoard(tmp_path) as board:
        train_sinusoids(tmp_path, watch=Watch(see=board))
    assert scalars_of(tmp_path) == numbers_of(rows)


def test_resume_goes_on_in_the_same_board(tmp_path):
    assert main([*COMMAND, "--tensorboard", "--minutes", "0", "--out", str(tmp_path)]) == 0
    assert main(["resume", str(tmp_path)]) == 0
    assert scalars_of(tmp_path) == numbers_of(read_metrics(tmp_path / METRICS))


@pytest.fixture
def without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)


@pytest.mark.usefixtures("without_tensorboard")
def test_without_the_extra_the_command_says_so_before_anything_is_done(tmp_path, capsys):
    assert main([*COMMAND, "--tensorboard", "--out", str(tmp_path / "run")]) == 1
    assert 'pip install "fewstep[tensorboard]"' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("without_tensorboard")
def test_without_the_extra_a_run_that_began_with_it_is_not_resumed_without_a_word(trained, capsys):
    before = checkpoints(trained)
    assert main(["resume", str(trained)]) == 1
    assert 'pip install "fewstep[tensorboard]"' in capsys.readouterr().err
    assert checkpoints(trained) == before


def test_a_score_that_is_not_finite_is_left_out(tmp_path):
    with TensorBoard(tmp_path) as board:
        board({"kind": "train", "update": 1, "loss": 0.5})
        board({"kind": "validation", "update": 1, "score": None, "ci95": None})
    assert scalars_of(tmp_path) == {"train/loss": [(1, 0.5)]}


def test_in_python_it_takes_rows_by_see(tmp_path):
    tasks = Splits(*(pattern_tasks(split) for split in ("train", "val", "test")), {})
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    training = fewstep.Training(updates=2, meta_batch=2, validation_tasks=4)
    with fewstep.TensorBoard(tmp_path) as board:
        run = fewstep.train(net, fewstep.MAML(inner_lr=0.1), tasks, training=training, see=board)
    assert scalars_of(tmp_path) == numbers_of(run.history)


def test_the_log_opens_in_pandas_in_one_line(trained):
    """The audit's row and the rows of validations leave empty what they do not have."""
    log = pd.read_json(trained / METRICS, lines=True)
    assert log.kind.tolist() == ["audit", "train", "train", "validation", "train", "train", "validation"]
    assert log["update"].tolist() == [0, 1, 2, 2, 3, 4, 4]
    rows = [row for row in read_metrics(trained / METRICS) if row["kind"] == "train"]
    assert log[log.kind == "train"].loss.tolist() == pytest.approx([row["loss"] for row in rows], rel=1e-12)
    assert log.drop(columns=["kind", "checks"]).dtypes.map(lambda kind: kind.kind in "if").all()


def test_a_log_with_a_validation_that_is_not_finite_opens_in_pandas(tmp_path):
    kept = Journal(sinusoid_learner(), TRAINING, identity="", about={}, folder=tmp_path)
    for kept.update, score in ((1, math.inf), (2, 0.5)):
        kept.log_validation(score, 0.1)
    log = pd.read_json(tmp_path / METRICS, lines=True)
    assert (log.score.isna().tolist(), log.score[1]) == ([True, False], 0.5)
