"""Runs of learners whose state moves without gradient: slots of an inner optimizer, statistics of batch norms."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from builders import image_splits, smooth_net
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.reptile import Reptile
from fewstep.checkpoint import load_checkpoint
from fewstep.evaluation import Evaluation
from fewstep.inner.adam import Adam
from fewstep.journal import BEST, checkpoints
from fewstep.learner import learner_of
from fewstep.mapping import Mapping
from fewstep.run import Run, Watch, train_run
from fewstep.tasks.shuffled import shuffled
from fewstep.training import Training
from run_builders import TRAINING, identical, without_timing

SGD = dataclasses.replace(TRAINING, lr=0.8, optimizer="sgd", schedule="linear", final_lr=0.0)
REPTILE = Reptile(inner_lr=0.02, inner_steps=3, inner_batch=4, optimizer=Adam(beta1=0.5))
PLUS_PLUS = MAMLPlusPlus(
    inner_lr=0.2,
    inner_steps=2,
    learn_inner_lr=True,
    multi_step_epochs=2,
    first_order_epochs=1,
    per_step_norm=True,
    epoch=3,  # its boundaries, updates 3 and 6, are where runs stop
)
COSINE = dataclasses.replace(TRAINING, lr=0.05, schedule="cosine")
LEARNERS = {
    "reptile": (REPTILE, "transductive", SGD),
    "reptile, running": (REPTILE, "running", SGD),
    "foml": (dataclasses.replace(REPTILE, direction="foml", persistent_slots=False), "none", SGD),
    "maml++": (PLUS_PLUS, "per_step", COSINE),
    "maml++, running": (PLUS_PLUS, "running", COSINE),
}
every_learner = pytest.mark.parametrize("name", LEARNERS)


def train(name: str, folder: Path, watch: Watch | None = None) -> Run:
    algorithm, norm, training = LEARNERS[name]
    folder.mkdir(exist_ok=True)
    return train_run(
        learner_of(smooth_net().float(), algorithm, norm=norm),
        shuffled(image_splits(noise=60)),
        training,
        Evaluation(tasks=4, steps=3),
        seed=0,
        mapping=Mapping(),
        identity=name,
        folder=folder,
        watch=watch,
    )


def stop_after(update: int) -> Watch:
    seen: list[int] = []
    return Watch(see=lambda row: seen.append(row["update"]), must_stop=lambda: seen[-1] >= update)


@every_learner
def test_a_run_stopped_twice_and_resumed_is_bit_identical_to_one_that_was_not(name: str, tmp_path: Path):
    whole = train(name, tmp_path / "whole")
    for update in (3, 6):
        assert train(name, tmp_path / "stopped", stop_after(update)).update == update
    resumed = train(name, tmp_path / "stopped")
    assert identical(resumed.learner.meta, whole.learner.meta)
    assert without_timing(resumed.history) == without_timing(whole.history)
    files = [(checkpoints(tmp_path / place)[-1], tmp_path / place / BEST) for place in ("stopped", "whole")]
    for mine, theirs in zip(*files, strict=True):
        assert identical(load_checkpoint(mine).meta, load_checkpoint(theirs).meta)


@every_learner
def test_state_moves_in_training_and_a_checkpoint_holds_what_the_learner_holds(name: str, tmp_path: Path):
    algorithm, norm, _ = LEARNERS[name]
    begun = learner_of(smooth_net().float(), algorithm, norm=norm).meta.state
    train(name, tmp_path)
    state = load_checkpoint(checkpoints(tmp_path)[-1]).meta.state
    assert {group: set(params) for group, params in state.items()} == {g: set(p) for g, p in begun.items()}
    assert all(not torch.equal(state[group][name], begun[group][name]) for group in state for name in state[group])
    assert bool(state) == (name != "foml")


def test_statistics_that_persist_belong_to_the_learner_not_to_the_net_that_was_given():
    net = smooth_net().float()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    algorithm, norm, _ = LEARNERS["maml++"]
    learner = learner_of(net, algorithm, norm=norm)
    train_run(
        learner,
        image_splits(),
        Training(updates=2, meta_batch=2, validate_every=2, validation_tasks=2),
        Evaluation(tasks=2),
        seed=0,
        mapping=Mapping(),
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert isinstance(net[1], nn.BatchNorm2d)
    assert learner.meta.state["statistics"]["1.running_mean"].any()
