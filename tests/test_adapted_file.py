"""Adapted models in files."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import fewstep
from builders import NORMS, smooth_net, smooth_task
from fewstep.adapted import adapt
from fewstep.recipe import to_json
from fewstep.seeding import seeded
from fewstep.tasks.preprocessing import Preprocessing
from run_builders import few_strokes

SPEC = fewstep.Conv4(filters=4)


@pytest.fixture(scope="module")
def task() -> fewstep.Task:
    return few_strokes(ways=5, queries=2).test.sample(0, "use", 0, 1).select(0)


def conv4(norm: str = "transductive") -> fewstep.Learner:
    with seeded(0, "test"):
        return fewstep.learner_of(SPEC.build((1, 28, 28), 5), fewstep.MAML(inner_lr=0.4), norm=norm)


@pytest.fixture
def saved(task, tmp_path) -> Path:
    preprocessing = Preprocessing(size=28, color="L", inverted=True)
    model = adapt(conv4(), task.support, classes="abcde", preprocessing=preprocessing, net=to_json(SPEC))
    model.fewstep.save(tmp_path / "five.fewstep")
    return tmp_path / "five.fewstep"


def test_a_fresh_process_predicts_the_same_bit_for_bit(task, tmp_path):
    model = adapt(conv4(), task.support, net=to_json(SPEC))
    model.fewstep.save(tmp_path / "five.fewstep")
    save_file({"x": task.query.x, "expected": model(task.query.x).detach()}, tmp_path / "asked")
    unlike = [prediction.novelty for prediction in model.fewstep.predict(task.query.x)]
    code = (
        "import fewstep, torch; from safetensors.torch import load_file; torch.set_num_threads(1)\n"
        f"model, asked = fewstep.load('{tmp_path / 'five.fewstep'}'), load_file('{tmp_path / 'asked'}')\n"
        "assert torch.equal(model(asked['x']), asked['expected']), 'other outputs'\n"
        f"assert [one.novelty for one in model.fewstep.predict(asked['x'])] == {unlike}, 'other novelty'"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_everything_that_is_known_of_a_model_comes_back(saved, task):
    model = fewstep.load(saved)
    original = adapt(conv4(), task.support)
    assert type(model) is nn.Sequential
    assert not model.training
    assert model.state_dict().keys() == original.state_dict().keys()
    known = model.fewstep
    assert known.classes == tuple("abcde")
    assert known.preprocessing == Preprocessing(size=28, color="L", inverted=True)
    assert (known.inputs, known.norm, known.head, known.note) == ((1, 28, 28), "support", "head", original.fewstep.note)


def test_a_file_saved_from_a_loaded_model_is_the_same_file(saved, tmp_path):
    fewstep.load(saved).fewstep.save(tmp_path / "again.fewstep")
    assert (tmp_path / "again.fewstep").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("norm", NORMS)
def test_a_net_of_ones_own_is_given_to_be_loaded_into_under_every_norm_policy(norm, tmp_path):
    support, query = smooth_task()
    model = fewstep.adapt(fewstep.learner_of(smooth_net(), fewstep.MAML(inner_lr=0.2), norm=norm), support)
    model.fewstep.save(tmp_path / "own.fewstep")
    loaded = fewstep.load(tmp_path / "own.fewstep", net=smooth_net())
    assert torch.equal(loaded(query.x), model(query.x))
    with pytest.raises(ValueError, match=r"tensors of a Sequential, a net of your own: give one, as fewstep\.load\("):
        fewstep.load(tmp_path / "own.fewstep")
    with pytest.raises(ValueError, match="does not fit the net, it was saved from a Sequential"):
        fewstep.load(tmp_path / "own.fewstep", net=nn.Sequential(nn.Linear(2, 2)))


def test_loading_leaves_the_global_generator_where_it_was(saved):
    before = torch.get_rng_state()
    fewstep.load(saved)
    assert torch.equal(torch.get_rng_state(), before)


def rewritten(path: Path, **changes: object) -> Path:
    """The file with other JSON in it."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(json.loads(file.read(length))["__metadata__"]["fewstep"])
    save_file(load_file(path), path, metadata={"fewstep": json.dumps({**header, **changes})})
    return path


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"format": 7}, r"a newer fewstep \(adapted models of format 7, this reads 1\): upgrade fewstep"),
        ({"kind": "learner"}, "holds fewstep's learner, expected fewstep's adapted model"),
        ({"net": {"kind": "Conv9"}}, "kind 'Conv9' is not one of"),
        ({"preprocessing": {"sighs": 28}}, "is damaged"),
        ({"classes": None}, "is damaged"),
    ],
)
def test_a_file_of_another_format_kind_or_content_is_refused_with_the_reason(saved, changes, wrong):
    with pytest.raises(ValueError, match=wrong):
        fewstep.load(rewritten(saved, **changes))


def test_damaged_foreign_and_missing_files_are_told_apart(saved, tmp_path):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged, or no file of fewstep"):
        fewstep.load(saved)
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(ValueError, match="holds tensors that fewstep did not write"):
        fewstep.load(tmp_path / "foreign")
    with pytest.raises(ValueError, match="there is no file"):
        fewstep.load(tmp_path / "missing")


def test_a_record_is_frozen(saved):
    with pytest.raises(dataclasses.FrozenInstanceError):
        fewstep.load(saved).fewstep.classes = ()
