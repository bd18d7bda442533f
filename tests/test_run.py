import dataclasses
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
import torch
from torch import nn

from builders import image_splits
from fewstep import journal, training
from fewstep.algorithms.maml import MAML
from fewstep.checkpoint import load_checkpoint
from fewstep.core import Task
from fewstep.divergence import DivergedError
from fewstep.evaluation import Evaluation, Result, evaluate
from fewstep.journal import BEST, METRICS, Row, best_update, checkpoints, read_metrics
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping, Workers
from fewstep.run import Run, Watch, train_run
from fewstep.seeding import seeded
from fewstep.tasks.generated import from_function
from fewstep.tasks.splits import Splits, Tasks
from fewstep.training import Training, outer_optimizer
from run_builders import (
    SINUSOIDS,
    TRAINING,
    identical,
    pattern_tasks,
    sinusoid_learner,
    small_disk,
    train_sinusoids,
    without_timing,
)


class Crash(Exception):  # noqa: N818
    """Stands for a power cut: nobody catches it."""


class Reference(NamedTuple):
    """A run that nothing interrupted."""

    folder: Path
    run: Run


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Reference:
    folder = tmp_path_factory.mktemp("whole")
    return Reference(folder, train_sinusoids(folder))


def assert_same_run(folder: Path, run: Run, whole: Reference) -> None:
    """All that a run leaves is what it leaves uninterrupted, but for the clock."""
    assert identical(run.learner.meta, whole.run.learner.meta)
    assert (run.update, run.selected_update, run.status) == (whole.run.update, whole.run.selected_update, "finished")
    assert without_timing(run.history) == without_timing(whole.run.history)
    assert without_timing(read_metrics(folder / METRICS)) == without_timing(read_metrics(whole.folder / METRICS))
    mine, theirs = (load_checkpoint(checkpoints(place)[-1]) for place in (folder, whole.folder))
    assert identical(mine.meta, theirs.meta)
    assert (mine.update, mine.optimizer["param_groups"]) == (theirs.update, theirs.optimizer["param_groups"])
    for index, slots in theirs.optimizer["state"].items():
        assert set(slots) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(mine.optimizer["state"][index][name], slots[name]) for name in slots)
    assert identical(load_checkpoint(folder / BEST).meta, load_checkpoint(whole.folder / BEST).meta)
    assert not list(folder.glob(".*"))


def test_the_reference_run_improves_twice_and_then_gets_worse(whole):
    first, second, *later = (row["score"] for row in whole.run.history if row["kind"] == "validation")
    assert second < first  # errors: both are copied as the best
    assert all(score > second for score in later)
    assert whole.run.selected_update == 4


def stop_after(update: int) -> Watch:
    """As Ctrl-C during `update`."""
    seen: list[int] = []
    return Watch(see=lambda row: seen.append(row["update"]), must_stop=lambda: seen[-1] >= update)


def crash_at(kind: str, update: int) -> Watch:
    """As a power cut after a row of `metrics.jsonl` is written."""

    def see(row: Row) -> None:
        if (row["kind"], row["update"]) == (kind, update):
            raise Crash

    return Watch(see=see)


@pytest.mark.parametrize("update", [1, 2, 5, 7])
def test_a_run_stopped_and_resumed_is_bit_identical_to_one_that_was_not(update, whole, tmp_path):
    stopped = train_sinusoids(tmp_path, watch=stop_after(update))
    assert (stopped.update, stopped.status) == (update, "interrupted")
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_a_run_stopped_after_every_update_is_bit_identical_to_one_that_was_not(whole, tmp_path):
    for update in range(1, 8):
        assert train_sinusoids(tmp_path, watch=stop_after(update)).update == update
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


@pytest.mark.parametrize(
    ("kind", "update"),
    [("train", 1), ("train", 3), ("train", 4), ("train", 6), ("train", 8), ("validation", 2), ("validation", 8)],
)
def test_a_run_that_crashed_and_resumed_is_bit_identical_to_one_that_did_not(kind, update, whole, tmp_path):
    with pytest.raises(Crash):
        train_sinusoids(tmp_path, watch=crash_at(kind, update))
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


@pytest.mark.parametrize("which", [1, 2])
def test_a_crash_between_a_checkpoint_and_its_copy_as_the_best_loses_nothing(which, whole, tmp_path, monkeypatch):
    save, copies = journal.save_checkpoint, []

    def crash_at_best(path: Path, *rest: object) -> None:
        copies.extend([path] * (path.name == BEST))
        if len(copies) == which:
            raise Crash
        save(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "save_checkpoint", crash_at_best)
        with pytest.raises(Crash):
            train_sinusoids(tmp_path)
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_a_half_written_line_of_metrics_is_cut_off(whole, tmp_path):
    train_sinusoids(tmp_path, watch=stop_after(5))
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"kind": "train", "update": 6, "lo')
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_metrics_beyond_the_checkpoint_are_cut_back(whole, tmp_path):
    with pytest.raises(Crash):
        train_sinusoids(tmp_path, watch=crash_at("train", 8))  # the last checkpoint is that of update 6
    assert max(row["update"] for row in read_metrics(tmp_path / METRICS)) == 8
    train_sinusoids(tmp_path, watch=stop_after(7))
    assert max(row["update"] for row in read_metrics(tmp_path / METRICS)) == 7
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_metrics_of_a_run_without_any_checkpoint_start_anew(whole, tmp_path):
    with pytest.raises(Crash):
        train_sinusoids(tmp_path, watch=crash_at("train", 1))
    assert len(read_metrics(tmp_path / METRICS)) == 1
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_resuming_a_finished_run_changes_nothing(whole, tmp_path):
    train_sinusoids(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = train_sinusoids(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert_same_run(tmp_path, again, whole)


def test_a_run_in_memory_is_the_run_in_a_folder(whole):
    run = train_sinusoids()
    assert identical(run.learner.meta, whole.run.learner.meta)
    assert without_timing(run.history) == without_timing(whole.run.history)


def test_a_crash_before_the_file_of_an_ensembles_member_is_made_good(tmp_path, monkeypatch):
    save = journal.save_checkpoint

    def train() -> Run:
        evaluation = Evaluation(tasks=4, steps=2, ensemble=2)
        return train_run(
            sinusoid_learner(), SINUSOIDS, TRAINING, evaluation, seed=0, mapping=Mapping(), folder=tmp_path
        )

    def crash_at_member(path: Path, *rest: object) -> None:
        if path.name == "best-00000004.safetensors":
            raise Crash
        save(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "save_checkpoint", crash_at_member)
        with pytest.raises(Crash):
            train()
    train()
    scores = {row["update"]: row["score"] for row in read_metrics(tmp_path / METRICS) if row["kind"] == "validation"}
    expected = sorted(sorted(scores, key=lambda update: scores[update])[:2])
    assert 4 in expected
    members = sorted(tmp_path.glob("best-*"))
    assert [load_checkpoint(path).update for path in members] == expected
    assert [path.name for path in members] == [f"best-{update:08d}.safetensors" for update in expected]


def test_only_the_last_three_checkpoints_are_kept(whole):
    kept = [path.name for path in checkpoints(whole.folder)]
    assert kept == [f"checkpoint-{update:08d}.safetensors" for update in (4, 6, 8)]  # saved at 2, 3, 4, 6 and 8


def test_a_truncated_newest_checkpoint_is_named_and_deleting_it_resumes_from_the_one_before(whole, tmp_path):
    train_sinusoids(tmp_path, watch=stop_after(7))
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"{re.escape(str(newest))} .*delete it to resume from the one before"):
        train_sinusoids(tmp_path)
    newest.unlink()
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train_sinusoids(tmp_path, watch=stop_after(3))
    with pytest.raises(ValueError, match="another recipe, net, tasks or seed"):
        train_sinusoids(tmp_path, identity="another")


def test_a_full_disk_ends_the_run_and_loses_nothing_that_was_saved(tmp_path):
    train_sinusoids(tmp_path, learner=sinusoid_learner(hidden=800), watch=stop_after(3))
    with small_disk(8000), pytest.raises(OSError, match=r"cannot write .*checkpoint-00000004"):
        train_sinusoids(tmp_path, learner=sinusoid_learner(hidden=800))
    assert checkpoints(tmp_path)[-1].name == "checkpoint-00000003.safetensors"
    assert not list(tmp_path.glob(".*"))
    resumed, uninterrupted = (train_sinusoids(at, learner=sinusoid_learner(hidden=800)) for at in (tmp_path, None))
    assert identical(resumed.learner.meta, uninterrupted.learner.meta)
    assert without_timing(resumed.history) == without_timing(uninterrupted.history)


def scripted(history: list[tuple[int, float]]) -> list[Row]:
    return [{"kind": "validation", "update": update, "score": score, "ci95": 0.1} for update, score in history]


def test_the_best_validation_is_the_earliest_of_equals_and_training_rows_do_not_count():
    rows = scripted([(2, 0.5), (4, 0.9), (6, 0.9), (8, 0.1)])
    assert best_update(rows, higher_is_better=True) == 4
    assert best_update(rows, higher_is_better=False) == 8
    assert best_update([{"kind": "train", "update": 1, "loss": 0.0}], higher_is_better=True) is None


def test_the_learner_of_a_run_is_the_one_that_validation_selected():
    training = dataclasses.replace(TRAINING, updates=20, lr=0.3, validate_every=1)  # a large rate: it goes up and down
    run = train_sinusoids(training=training)
    scores = {row["update"]: row["score"] for row in run.history if row["kind"] == "validation"}
    assert list(scores) == list(range(1, 21))
    assert run.selected_update == min(scores, key=lambda update: scores[update]) < 20
    validation = Evaluation(tasks=training.validation_tasks, steps=2, seed=0)
    assert evaluate(run.learner, SINUSOIDS.val, validation, stream="val").score.mean == scores[run.selected_update]
    until = train_sinusoids(training=dataclasses.replace(training, updates=run.selected_update))
    assert identical(run.learner.meta, until.learner.meta)


class NeverSampled:
    """Tasks that nobody may look at."""

    inputs, outputs, class_names = (1,), 1, ()

    def sample(self, *where: object) -> NoReturn:
        raise AssertionError("test tasks were sampled in training")


def run_on(splits: Splits, training: Training = TRAINING) -> Run:
    return train_run(sinusoid_learner(), splits, training, Evaluation(), seed=0, mapping=Mapping())


def test_training_and_selection_never_look_at_test_tasks():
    assert run_on(SINUSOIDS._replace(test=NeverSampled())).update == 8


def test_without_validation_tasks_the_last_learner_is_selected():
    run = run_on(SINUSOIDS._replace(val=None))
    assert run.selected_update == run.update == 8
    assert {row["kind"] for row in run.history} == {"train"}


class Recorded(NamedTuple):
    """Tasks that remember what was drawn from them."""

    tasks: Tasks
    drawn: list[tuple[int, str, int, int]]

    def sample(self, seed: int, stream: str, step: int, count: int) -> Task:
        self.drawn.append((seed, stream, step, count))
        return self.tasks.sample(seed, stream, step, count)


def test_every_update_draws_its_own_tasks_and_every_validation_the_same():
    train, val = Recorded(SINUSOIDS.train, []), Recorded(SINUSOIDS.val, [])
    run_on(Splits(train, val, NeverSampled(), {}))
    assert train.drawn == [(0, "train", update, 2) for update in range(8)]
    assert val.drawn == [(0, "val", 0, 4)] * 4


def test_rows_say_kind_update_loss_score_rate_and_time(whole):
    lines = (whole.folder / METRICS).read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]  # NaN is no JSON
    train = [row for row in rows if row["kind"] == "train"]
    assert [row["update"] for row in train] == list(range(1, 9))
    assert [row["update"] for row in rows if row["kind"] == "validation"] == [2, 4, 6, 8]
    assert set(train[0]) == {"kind", "update", "loss", "mse", "lr", "seconds", "tasks_per_second", "elapsed"}
    assert train[0]["loss"] == pytest.approx(train[0]["mse"], rel=1e-5)
    assert [row["elapsed"] for row in train] == sorted(row["elapsed"] for row in train)


def test_accuracy_is_the_score_of_a_classifier():
    splits = Splits(pattern_tasks(), pattern_tasks("val"), pattern_tasks("test"), {})
    learner = learner_of(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), MAML(inner_lr=0.1)).to("cpu")
    run = train_run(learner, splits, TRAINING, Evaluation(), seed=0, mapping=Mapping())
    scores = {row["update"]: row["score"] for row in run.history if row["kind"] == "validation"}
    assert all(0 <= row["accuracy"] <= 1 for row in run.history if row["kind"] == "train")
    assert run.selected_update == max(scores, key=lambda update: scores[update])


def test_an_infinite_inner_rate_stops_the_first_update_and_the_learner_is_untouched():
    learner = sinusoid_learner(inner_lr=1e30)
    with pytest.raises(
        DivergedError,
        match=r"update 1: the loss is (inf|nan); before any inner step it is, no longer after step 1 of 1: lower "
        r"algorithm.inner-lr, now 1e\+30$",
    ):
        train_sinusoids(learner=learner)
    assert identical(learner.meta, sinusoid_learner().meta)


def test_inputs_that_overflow_are_to_blame_before_anything_was_learned():
    with pytest.raises(DivergedError, match=r"update 1: .*before anything was learned: look at the scale of the inp"):
        train_scaled(y=1e30)


def test_a_gradient_through_the_inner_loop_that_overflows_while_no_loss_does_is_told_apart():
    """One weight at 0, x ≈ 1e10, α = 0.01: φ = 2 α x y, a loss (φ x − y)² ≈ 4e36 and its gradient 2 x (φ x − y) ≈ 4e28
    are floats, and the latter times the inner step's derivative 1 − 2 α x² ≈ 2e18 is none."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    with pytest.raises(DivergedError, match=r"update 1: .*lower algorithm.inner-lr, now 0.01"):
        train_scaled(x=1e10, net=net)


def train_scaled(*, x: float = 1.0, y: float = 1.0, net: nn.Module | None = None) -> Run:
    """On noise of such a scale."""
    learner = sinusoid_learner() if net is None else learner_of(net, MAML(inner_lr=0.01), loss="mean_squared_error")
    noise = from_function(lambda rng: (x * rng.standard_normal((8, 1)), y * rng.standard_normal((8, 1))))
    train = noise.tasks(shots=4, queries=4).train
    return train_run(
        learner.to("cpu"), SINUSOIDS._replace(train=train), TRAINING, Evaluation(), seed=0, mapping=Mapping()
    )


@pytest.mark.parametrize(("rate", "update"), [(3e38, 1), (1e30, 2)])
def test_a_step_that_overflows_ends_the_run_before_it_is_saved(rate, update, tmp_path):
    """At 3e38 plain gradient descent itself leaves the floats; at 1e30 the next loss does."""
    training = dataclasses.replace(TRAINING, lr=rate, optimizer="sgd", checkpoint_every=1)
    with pytest.raises(DivergedError, match=rf"update {update}: .*lower training\.lr"):
        train_sinusoids(tmp_path, training=training)
    assert [load_checkpoint(path).update for path in checkpoints(tmp_path)] == list(range(1, update))


def test_a_run_that_diverges_again_keeps_its_last_checkpoint_and_says_so_once(tmp_path):
    training = dataclasses.replace(TRAINING, lr=1e30, checkpoint_every=1)
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"update 2: .* keeps the last checkpoint, after update 1\)"):
            train_sinusoids(tmp_path, training=training)
    assert [row["kind"] for row in read_metrics(tmp_path / METRICS)] == ["train", "diverged"]


def test_a_diverging_run_names_the_update_and_keeps_the_last_checkpoint(tmp_path):
    training = dataclasses.replace(TRAINING, lr=1e30, checkpoint_every=1)  # Adam's first step is lr, whatever the loss
    with pytest.raises(DivergedError, match="update 2: the loss is"):
        train_sinusoids(tmp_path, training=training)
    (kept,) = checkpoints(tmp_path)
    assert load_checkpoint(kept).update == 1
    rows = read_metrics(tmp_path / METRICS)
    assert [(row["kind"], row["update"]) for row in rows] == [("train", 1), ("diverged", 1)]
    assert rows[-1]["reason"].startswith("update 2: the loss is")


def test_no_minutes_stop_after_one_update_that_is_saved_and_resumable(whole, tmp_path):
    stopped = train_sinusoids(tmp_path, watch=Watch(minutes=0))
    assert (stopped.update, stopped.status) == (1, "out of time")
    assert [load_checkpoint(path).update for path in checkpoints(tmp_path)] == [1]
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_enough_minutes_finish(whole):
    assert train_sinusoids(watch=Watch(minutes=5)).status == "finished"


def test_the_clock_of_a_resumed_run_goes_on(tmp_path):
    first = train_sinusoids(tmp_path, watch=stop_after(4))
    second = train_sinusoids(tmp_path)
    elapsed = [row["elapsed"] for row in second.history if row["kind"] == "train"]
    assert elapsed == sorted(elapsed)
    assert second.seconds > first.seconds


@pytest.mark.parametrize("update", [0, 1, 499, 999])
def test_a_constant_rate_stays(update):
    assert Training(updates=1000, lr=0.25).rate(update) == 0.25


def test_a_cosine_rate_has_its_closed_form_at_the_start_the_quarters_the_half_and_the_end():
    annealed = Training(updates=1000, lr=1.0, schedule="cosine", final_lr=0.2)
    assert annealed.rate(0) == 1.0
    assert annealed.rate(500) == pytest.approx(0.6)  # cos π/2 = 0: half way between
    assert annealed.rate(1000) == pytest.approx(0.2)
    assert annealed.rate(250) == pytest.approx(0.6 + 0.4 / 2**0.5)  # cos π/4 = 1/√2
    assert annealed.rate(750) == pytest.approx(0.6 - 0.4 / 2**0.5)


def test_a_linear_rate_has_its_closed_form_at_every_quarter():
    annealed = Training(updates=1000, lr=1.0, schedule="linear", final_lr=0.2)
    assert [annealed.rate(update) for update in (0, 250, 500, 750, 1000)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    to_zero = Training(updates=4, lr=1.0, schedule="linear", final_lr=0.0)  # Reptile's
    assert [to_zero.rate(update) for update in range(4)] == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(("optimizer", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_the_outer_optimizer_is_the_one_that_the_settings_name(optimizer, kind):
    """Three updates equal three of torch's, made by hand with the meta-gradients of the learner itself."""
    settings = dataclasses.replace(TRAINING, updates=3, lr=0.1, optimizer=optimizer, schedule="linear", final_lr=0.01)
    learner, beside = sinusoid_learner(), sinusoid_learner()
    by_hand = kind(beside.parameters(), lr=0.1)
    with Workers(learner.model, Mapping()) as workers:
        list(training.updates(learner, SINUSOIDS.train, settings, outer_optimizer(learner.meta, settings), workers))
        for update, rate in enumerate((0.1, 0.07, 0.04)):
            batch = SINUSOIDS.train.sample(0, "train", update, settings.meta_batch)
            gradient = training.meta_gradient(beside, batch, workers, update)[0].gradient["theta"]
            for name, tensor in beside.meta.learned["theta"].items():
                tensor.grad = gradient[name]
            by_hand.param_groups[0]["lr"] = rate
            by_hand.step()
    torch.testing.assert_close(learner.meta.learned, beside.meta.learned, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_how_weights_lie_in_memory_changes_no_update(optimizer):
    """A fused optimizer reads weights, gradients and its own averages as they lie."""
    settings, learned = Training(updates=3, meta_batch=2, lr=0.01, optimizer=optimizer), []
    for layout in (torch.contiguous_format, torch.channels_last):
        with seeded(0, "net"):
            layers = nn.Conv2d(1, 4, 2), nn.Tanh(), nn.Conv2d(4, 3, 2), nn.Flatten(), nn.Linear(27, 3)
        learner = learner_of(nn.Sequential(*layers).to(memory_format=layout), MAML(inner_lr=0.1)).to("cpu")
        with Workers(learner.model, Mapping()) as workers:
            list(
                training.updates(
                    learner, image_splits().train, settings, outer_optimizer(learner.meta, settings), workers
                )
            )
        learned.append(learner.meta.learned)
    torch.testing.assert_close(*learned, rtol=1e-5, atol=1e-6)


def displacements(settings: Training) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """How far one update of plain gradient descent moves each tensor, and the meta-gradient as it was."""
    learner, fresh = sinusoid_learner(), sinusoid_learner()
    optimizer = torch.optim.SGD(learner.parameters(), lr=1.0)
    with Workers(learner.model, Mapping()) as workers:
        batch = SINUSOIDS.train.sample(0, "train", 0, settings.meta_batch)
        outcome, _ = training.meta_gradient(fresh, batch, workers, 0)
        next(training.updates(learner, SINUSOIDS.train, settings, optimizer, workers))
    moved = [before - after for before, after in zip(fresh.parameters(), learner.parameters(), strict=True)]
    return moved, list(outcome.gradient["theta"].values())


def norm_of(tensors: list[torch.Tensor]) -> float:
    return sum(tensor.square().sum().item() for tensor in tensors) ** 0.5


def assert_moved(settings: Training, expected: Callable[[torch.Tensor], torch.Tensor]) -> None:
    moved, gradient = displacements(settings)
    for mine, theirs in zip(moved, gradient, strict=True):
        torch.testing.assert_close(mine, expected(theirs), rtol=1e-4, atol=1e-6)


def test_an_update_moves_by_the_rate_times_the_meta_gradient():
    assert_moved(dataclasses.replace(TRAINING, lr=0.5), lambda gradient: 0.5 * gradient)


def test_clip_value_clamps_every_element():
    _, gradient = displacements(TRAINING)
    limit = torch.cat([g.flatten() for g in gradient]).abs().median().item()  # half of them are beyond
    assert_moved(dataclasses.replace(TRAINING, lr=1.0, clip_value=limit), lambda g: g.clamp(-limit, limit))


def test_clip_norm_shortens_the_whole_gradient_to_its_value():
    _, gradient = displacements(TRAINING)
    norm = norm_of(gradient)
    assert_moved(dataclasses.replace(TRAINING, lr=1.0, clip_norm=norm / 3), lambda g: g / 3)
    moved, _ = displacements(dataclasses.replace(TRAINING, lr=1.0, clip_norm=norm / 3))
    assert norm_of(moved) == pytest.approx(norm / 3, rel=1e-4)


def test_clip_norm_leaves_a_shorter_gradient_alone():
    _, gradient = displacements(TRAINING)
    assert_moved(dataclasses.replace(TRAINING, lr=1.0, clip_norm=3 * norm_of(gradient)), lambda g: g)


def test_the_annealed_rate_is_the_one_that_the_optimizer_uses():
    settings = dataclasses.replace(TRAINING, updates=4, lr=1e-2, schedule="cosine", final_lr=1e-3)
    learner = sinusoid_learner()
    optimizer = torch.optim.SGD(learner.parameters(), lr=123.0)
    used = []
    with Workers(learner.model, Mapping()) as workers:
        for progress in training.updates(learner, SINUSOIDS.train, settings, optimizer, workers):
            used += [progress.lr, optimizer.param_groups[0]["lr"]]
    half, cos = 0.0045, 2**-0.5  # (lr − final) / 2; cos π/4
    expected = [0.01, 0.0055 + half * cos, 0.0055, 0.0055 - half * cos]
    assert used[::2] == used[1::2] == pytest.approx(expected)


@pytest.mark.parametrize(
    "change",
    [
        {"updates": 0},
        {"meta_batch": 0},
        {"validate_every": 0},
        {"checkpoint_every": 0},
        {"schedule": "step"},
        {"optimizer": "rmsprop"},
    ],
)
def test_settings_out_of_range_are_errors_that_name_the_field(change):
    with pytest.raises(ValueError, match=rf"training\.{next(iter(change))}="):
        Training(**change)


def test_seeds_decide_and_the_environment_does_not(whole):
    torch.manual_seed(1234)
    os.environ["PYTHONHASHSEED"] = "77"
    assert identical(train_sinusoids().learner.meta, whole.run.learner.meta)


def test_a_crash_between_a_checkpoint_and_its_validation_is_made_good(whole, tmp_path, monkeypatch):
    def power_cut(*_: object, **__: object) -> NoReturn:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("fewstep.run.evaluate", power_cut)
        with pytest.raises(Crash):
            train_sinusoids(tmp_path)
    assert checkpoints(tmp_path)[-1].name == "checkpoint-00000002.safetensors"
    assert {row["kind"] for row in read_metrics(tmp_path / METRICS)} == {"train"}
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_a_crash_before_the_last_validation_is_made_good_although_no_update_is_left(whole, tmp_path, monkeypatch):
    def cut_the_last(learner: Learner, *rest: object, **options: object) -> Result:
        if checkpoints(tmp_path)[-1].name == "checkpoint-00000008.safetensors":
            raise Crash
        return evaluate(learner, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("fewstep.run.evaluate", cut_the_last)
        with pytest.raises(Crash):
            train_sinusoids(tmp_path)
    assert_same_run(tmp_path, train_sinusoids(tmp_path), whole)


def test_a_deleted_best_is_read_from_its_checkpoint_and_without_that_the_last_is_selected(whole, tmp_path):
    train_sinusoids(tmp_path, watch=stop_after(7))
    (tmp_path / BEST).unlink()
    resumed = train_sinusoids(tmp_path)
    assert resumed.selected_update == 4
    assert identical(resumed.learner.meta, whole.run.learner.meta)
    (tmp_path / BEST).unlink(missing_ok=True)
    assert not (tmp_path / "checkpoint-00000004.safetensors").exists()  # only the last three are kept
    again = train_sinusoids(tmp_path)
    assert (again.status, again.selected_update) == ("finished", 8)
    assert identical(again.learner.meta, load_checkpoint(checkpoints(tmp_path)[-1]).meta)


def test_a_deleted_best_is_written_again(tmp_path):
    train_sinusoids(tmp_path, watch=stop_after(7))
    (tmp_path / BEST).unlink()
    train_sinusoids(tmp_path)
    assert (tmp_path / BEST).exists()
    assert load_checkpoint(tmp_path / BEST).update == 4


def test_a_validation_that_is_not_finite_is_stored_as_null_and_never_selected(tmp_path):
    kept = journal.Journal(sinusoid_learner(), TRAINING, identity="", about={}, folder=tmp_path)
    scores = {1: math.nan, 2: 1.5, 3: -math.inf, 4: math.inf, 5: 2.5}
    for kept.update, mean in scores.items():
        row = kept.log_validation(mean, 0.1)
        assert (row["score"], row["ci95"]) == ((mean, 0.1) if math.isfinite(mean) else (None, None))
        assert kept.selected[0] == (1 if kept.update == 1 else 2)
    rows = (tmp_path / METRICS).read_text().splitlines()
    assert [json.loads(row, parse_constant=pytest.fail)["score"] for row in rows] == [None, 1.5, None, None, 2.5]
    assert load_checkpoint(tmp_path / BEST).update == 2


def test_an_error_that_is_not_finite_in_validation_leaves_a_run_that_can_be_resumed(tmp_path):
    """At so large an inner rate ten steps end in infinity, and the one step of training does not."""
    settings = dataclasses.replace(TRAINING, updates=2, lr=1e-9)

    def train() -> Run:
        learner, evaluation = sinusoid_learner(inner_lr=1e6), Evaluation(tasks=2, steps=10)
        return train_run(learner, SINUSOIDS, settings, evaluation, seed=0, mapping=Mapping(), folder=tmp_path)

    train()
    run = train()
    lines = (tmp_path / METRICS).read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [row["score"] for row in rows if row["kind"] == "validation"] == [None]
    assert (run.status, run.selected_update) == ("finished", 2)
    assert not (tmp_path / BEST).exists()
