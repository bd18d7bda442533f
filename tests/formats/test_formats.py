"""Files of every format open for ever, and compute what they did when they were written.

The numbers in `outcomes.json` come from the code under test, of the day on which `format_files.py` wrote the files: all
that is asked is that later versions still say the same. Formats of the future are refused.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from format_files import HERE, outcomes
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import fewstep
from fewstep import experiment
from fewstep.checkpoint import load_checkpoint
from fewstep.cli import main
from fewstep.learner_file import read_learner
from fewstep.record import records_in
from fewstep.run_folder import read_header
from fewstep.study import read_errors

FORMATS = sorted(path for path in HERE.iterdir() if path.name.isdecimal())
TENSOR_FILES = {
    "run/checkpoint-00000002.safetensors": (load_checkpoint, "checkpoints"),
    "run.fewstep-learner": (read_learner, "learners"),
    "two.fewstep": (fewstep.load, "adapted models"),
}


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: f"format {path.name}")
def test_files_of_every_format_compute_what_they_did_when_they_were_written(folder):
    expected = json.loads((folder / "outcomes.json").read_text())
    found = outcomes(folder)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(values), rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: f"format {path.name}")
def test_run_folders_and_studies_of_every_format_read_as_they_did(folder):
    (record,) = records_in(folder)
    assert (record.recipe.name, record.updates, record.seed) == ("sinusoid-10s-maml", 2, 0)
    assert record.result["line"].startswith("MSE ")
    assert [row["update"] for row in record.validated] == [1, 2]
    assert read_errors(folder) == {"another-s0": "stopped"}
    assert fewstep.load(folder / "two.fewstep").fewstep.classes == ("short", "long")


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: f"format {path.name}")
def test_runs_of_every_format_go_on(folder, tmp_path, capsys):
    run = shutil.copytree(folder / "run", tmp_path / "run")
    loaded = experiment.load(run, data_root=tmp_path)
    assert experiment.trained(loaded).meta.learned.keys() == {"theta"}
    (run / "result.json").unlink()
    assert main(["resume", str(run)]) == 0
    assert capsys.readouterr().out.startswith("MSE ")


def with_format(path: Path, number: object) -> Path:
    """The file, saying another format of itself."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["fewstep"])
    save_file(load_file(path), path, metadata={"fewstep": json.dumps({**header, "format": number})})
    return path


@pytest.mark.parametrize("name", TENSOR_FILES)
def test_a_newer_format_is_refused_clearly_and_one_that_never_was_too(name, tmp_path):
    read, what = TENSOR_FILES[name]
    path = Path(shutil.copy(FORMATS[-1] / name, tmp_path))
    newest = int(FORMATS[-1].name)
    newer = rf"was written by a newer fewstep \({what} of format {newest + 1}, this reads {newest}\): upgrade fewstep"
    with pytest.raises(ValueError, match=newer):
        read(with_format(path, newest + 1))
    for never in (0, -1, True, "1", None, 1.0):
        with pytest.raises(ValueError, match=f"has format {never!r}, expected {newest}: no fewstep writes such {what}"):
            read(with_format(path, never))


def test_a_run_folder_of_a_newer_format_is_refused_clearly(tmp_path):
    header = json.loads((FORMATS[-1] / "run" / "recipe.json").read_text())
    (tmp_path / "recipe.json").write_text(json.dumps({**header, "format": 2, "recipe": "of the future"}))
    with pytest.raises(ValueError, match=r"newer fewstep \(run folders of format 2, this reads 1\): upgrade fewstep"):
        read_header(tmp_path)
