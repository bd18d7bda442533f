"""Files that come from others run nothing: code is planted in each, and must not have run."""

import dataclasses
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fewstep
from fewstep import recipes
from fewstep.checkpoint import load_checkpoint
from fewstep.cli import main
from fewstep.learner_file import Packed, read_learner, write_learner
from fewstep.tasks import image_store
from fewstep.trained import untrained

NET = """
import pathlib
pathlib.Path("ran").touch()
import torch
def net(inputs, outputs):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, outputs))
"""


class Payload:
    """A pickle of this touches a file where it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (Path("ran"),))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """The working directory, from which an import path would be imported."""
    (tmp_path / "planted_net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("planted_net", None)


def has_run() -> bool:
    return Path("ran").exists() or "planted_net" in sys.modules


@pytest.fixture
def spec() -> fewstep.Imported:
    return fewstep.Imported(path="planted_net:net")


@pytest.fixture
def support() -> fewstep.Examples:
    return fewstep.Examples(torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(5))


def forget() -> None:
    Path("ran").unlink()
    del sys.modules["planted_net"]


@pytest.fixture
def learner_file(spec) -> Path:
    recipe = dataclasses.replace(recipes.find("strokes-5w1s-maml"), net=spec)
    write_learner(Path("planted.fewstep-learner"), Packed(recipe, untrained(recipe).meta, ""))
    forget()
    return Path("planted.fewstep-learner")


def test_a_learner_file_has_nothing_imported_until_the_caller_names_it(learner_file, spec, support):
    with pytest.raises(ValueError, match=r"planted_net:net'.*not in the file.*net=fewstep\.Imported\("):
        fewstep.adapt(learner_file, support)
    assert not has_run()
    assert fewstep.adapt(learner_file, support, net=spec).fewstep.classes == ("0", "1", "2", "3", "4")


def test_an_adapted_model_has_nothing_imported_until_the_caller_names_it(learner_file, spec, support):
    model = fewstep.adapt(learner_file, support, net=spec)
    model.fewstep.save("planted.fewstep")
    forget()
    with pytest.raises(ValueError, match="nor imported on a file's word"):
        fewstep.load("planted.fewstep")
    assert not has_run()
    assert torch.equal(fewstep.load("planted.fewstep", net=spec)(support.x), model(support.x))


def test_the_command_line_imports_what_its_user_names_and_nothing_else(learner_file, capsys):
    for kind in "abcde":
        (Path("support") / kind).mkdir(parents=True)
        Image.new("L", (28, 28), ord(kind)).save(f"support/{kind}/{kind}.png")
    adapt = ["adapt", str(learner_file), "--support", "support", "--out", "five.fewstep"]
    assert main(adapt) == 1
    assert "on the command line --net planted_net:net" in capsys.readouterr().err
    assert not has_run()
    assert main([*adapt, "--net", "planted_net:net"]) == 0
    forget()
    predict = ["predict", "five.fewstep", "support/a"]
    assert main(predict) == 1
    assert not has_run()
    assert main([*predict, "--net", "planted_net:net"]) == 0


@pytest.mark.parametrize("name", ["best.safetensors", "checkpoint-00000001.safetensors", "x.fewstep"])
def test_a_pickle_in_the_place_of_a_file_of_tensors_is_not_loaded(name):
    Path(name).write_bytes(pickle.dumps(Payload()))
    torch.save(Payload(), "zipped")
    for file in (name, "zipped"):
        for read in (fewstep.load, read_learner, load_checkpoint):
            with pytest.raises(ValueError, match=file):
                read(Path(file))
    assert not has_run()


def test_pickled_arrays_in_imported_data_are_not_loaded():
    array = np.empty(1, object)
    array[0] = Payload()
    folder = Path("data/cub")
    folder.mkdir(parents=True)
    for split in ("train", "val", "test"):
        np.save(folder / f"{split}.npy", array, allow_pickle=True)
    about = {"format": 1, "classes": {split: [] for split in ("train", "val", "test")}, "sha256": {}}
    (folder / "about.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="is not as it was imported"):
        image_store.load(folder)
    assert not has_run()


def test_the_payload_runs_where_pickle_loads_it():
    """A guard on the test itself."""
    pickle.loads(pickle.dumps(Payload()))
    assert has_run()
