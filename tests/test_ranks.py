"""Two processes equal one: see rank_cases for what they do."""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import rank_cases
from fewstep import experiment, torchrun
from fewstep.ranks import ALONE, LostError, Ranks
from fewstep.record import read_record
from fewstep.torchrun import is_restarted, join
from rank_cases import STROKES, TRAINED
from run_builders import assert_same_folder, identical, without_timing

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")

TESTS = Path(__file__).parent
SECONDS = 600
"""Far more than it takes, on a machine with other work too."""


class Pair(NamedTuple):
    """What each of two ranks found and said, and the folder of their runs."""

    found: list[dict[str, Any]]
    out: list[str]
    err: list[str]
    folder: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    """The cases of rank_cases in two processes, started as torchrun starts them."""
    folder = tmp_path_factory.mktemp("pair")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, "-W", "error", str(TESTS / "rank_cases.py"), str(folder)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=SECONDS) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said
    found = [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(2)]
    return Pair(found, [out for out, _ in said], [err for _, err in said], folder)


@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_equal_one_to_rounding(name: str, pair: Pair):
    run = TRAINED[name](ALONE)
    meta, history = pair.found[0][name]
    torch.testing.assert_close(meta, rank_cases.plain(run.learner), rtol=1e-10, atol=1e-12)
    mine, theirs = without_timing(history), without_timing(run.history)
    assert [row.pop("kind") for row in mine] == [row.pop("kind") for row in theirs]
    for row, other in zip(mine, theirs, strict=True):
        assert row == pytest.approx(other, rel=1e-10)


@pytest.mark.parametrize("name", TRAINED)
def test_all_ranks_hold_the_same_bits(name: str, pair: Pair):
    (first, first_log), (second, second_log) = (found[name] for found in pair.found)
    assert identical(first, second)
    assert without_timing(first_log) == without_timing(second_log)


def test_as_many_ranks_again_are_bit_identical_and_the_first_ones_net_is_that_of_all(pair):
    for again in ("maml, again", "started apart"):
        for found in pair.found:
            assert identical(found[again][0], pair.found[0]["maml"][0])


def test_all_ranks_stop_when_any_of_them_must(pair):
    assert [found["asked_to_stop"] for found in pair.found] == [("interrupted", 2)] * 2
    assert [found["out_of_time"] for found in pair.found] == [("out of time", 1)] * 2


def test_all_ranks_diverge_together(pair):
    first, second = (found["diverged"] for found in pair.found)
    assert first == second
    assert "update 1: the loss is" in first


def test_a_shared_test_is_exactly_that_of_one_process(pair):
    assert [found["tested"] for found in pair.found] == [rank_cases.tested(ALONE)] * 2


def test_the_python_door_shares_too_and_the_first_rank_alone_sees(pair):
    (meta, mapping, result, seen), (meta1, mapping1, result1, seen1) = (
        found["through_the_python_door"] for found in pair.found
    )
    assert identical(meta, meta1)
    assert (mapping, result) == (mapping1, result1)
    assert (seen, seen1) == ([1, 2, 2], [])
    alone = rank_cases.through_the_python_door(ALONE)
    torch.testing.assert_close(meta, alone[0], rtol=1e-4, atol=1e-6)


def test_a_value_of_the_first_rank_reaches_all(pair):
    assert [found["from the first"] for found in pair.found] == [{"rank": 0}] * 2


def test_a_rank_that_loses_another_ends_with_an_error(pair):
    assert pair.found[0]["lost"].startswith("rank 0 lost another one, whose own words say why")


def test_no_thread_of_the_group_outlives_it(pair):
    """One that did would abort the process at its end, once in a while."""
    assert not [name for found in pair.found for name in found["threads left"] if "gloo" in name]


def test_commands_end_alike_and_the_first_rank_alone_speaks(pair):
    expected = {"whole": 0, "stopped": 130, "resumed": 0, "evaluated": 0, "refused": 1}
    assert [found["commands"] for found in pair.found] == [expected] * 2
    assert "stopped after update 4, saved" in pair.err[0]
    assert pair.out[0].count("report: ") == 2
    assert pair.out[1] == ""
    assert pair.err[1].splitlines() == [line for line in pair.err[0].splitlines() if "conv5" in line]


def test_the_folder_says_how_many_shared_it_and_its_result_is_what_evaluate_says(pair):
    assert json.loads((pair.folder / "whole" / "recipe.json").read_text())["ranks"] == 2
    line = json.loads((pair.folder / "whole" / "result.json").read_text())["line"]
    assert pair.out[0].count(line) == 3  # trained whole, stopped and resumed, evaluated


def test_a_run_stopped_by_ctrl_c_and_resumed_is_bit_identical(pair):
    assert_same_folder(pair.folder / "stopped", pair.folder / "whole")


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_a_killed_worker_is_started_again_and_ends_bit_identical(pair, tmp_path):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    command = [sys.executable, *launch, str(TESTS / "killed_worker.py"), *STROKES, "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as launcher:
        try:
            err = launcher.communicate(timeout=SECONDS)[1]
        finally:
            launcher.terminate()  # and its workers with it, which have sessions of their own
    assert launcher.returncode == 0, err
    assert "failed (exitcode: -9) local_rank: 1" in err
    assert re.search("started again; going on after update [23]\n", err)  # the first rank may have saved the third
    assert_same_folder(tmp_path / "run", pair.folder / "whole")


def test_another_number_of_processes_may_go_on_with_a_run_and_the_log_says_so(pair, tmp_path, caplog):
    folder = Path(shutil.copytree(pair.folder / "whole", tmp_path / "whole"))
    held = experiment.load(folder, data_root=tmp_path)
    assert (held.begun_with, held.ranks) == (2, ALONE)
    with caplog.at_level(logging.INFO, logger="fewstep"):
        run = experiment.train(held)
    assert "begun with 2 processes and going on with 1" in caplog.text
    line = json.loads((folder / "result.json").read_text())["line"]
    assert str(experiment.finish(held, run)) == line
    assert read_record(folder).threads == 2


def test_a_folder_that_does_not_say_how_many_shared_it_was_one_processes(pair, tmp_path):
    folder = Path(shutil.copytree(pair.folder / "whole", tmp_path / "whole"))
    header = json.loads((folder / "recipe.json").read_text())
    del header["ranks"]
    (folder / "recipe.json").write_text(json.dumps(header))
    assert experiment.load(folder, data_root=tmp_path).begun_with == 1
    assert read_record(folder).threads == 1


def test_processes_that_are_started_again_do_not_take_dead_ones_for_each_other():
    store = torch.distributed.HashStore()
    names = []
    for _ in range(2):  # the second time what the first has left is still there
        with ThreadPoolExecutor(3) as pool:
            met = [pool.submit(torchrun._meet, store, rank, 3) for rank in range(3)]
        names.append({one.result() for one in met})
    first, second = names
    assert len(first) == len(second) == 1
    assert first != second


def test_a_rank_that_does_not_come_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(torchrun, "SECONDS_TO_MEET", 0.05)
    with pytest.raises(LostError, match=r"rank 1 of 2 has not come within"):
        torchrun._meet(torch.distributed.HashStore(), 0, 2)


def test_without_torchrun_there_is_one_rank_and_nothing_is_sent(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert join() is ALONE
    assert not is_restarted(ALONE)
    tree = {"a": torch.ones(2)}
    assert ALONE.sum(tree) is tree
    assert ALONE.gather(tree, 2) is tree
    assert ALONE.one_here_first(lambda: 3) == ALONE.from_first(lambda: 3) == 3
    monkeypatch.setenv("WORLD_SIZE", "2")  # as other schedulers set it, with nothing that could be joined
    assert join() is ALONE
    assert not torch.distributed.is_initialized()


def test_places_of_all_ranks_are_all_tasks():
    ranks = [Ranks(rank=rank, count=3) for rank in range(3)]
    assert [list(one.places(7)) for one in ranks] == [[0, 3, 6], [1, 4], [2, 5]]
    assert [list(one.places(1)) for one in ranks] == [[0], [], []]


def test_the_gpu_of_a_rank_is_that_of_its_number_on_its_machine():
    third = Ranks(rank=2, count=4, local_rank=0, local_count=2)
    assert [third.device(name) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda:0", "cuda:1"]
    assert ALONE.device("cuda") == "cuda"
