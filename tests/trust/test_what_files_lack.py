"""Files that are sound of form and lack something, or hold something of another kind."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import fewstep
from fewstep.core import Meta
from fewstep.log_rows import rows_of
from fewstep.optimizer_state import put_state
from fewstep.training import Training, outer_optimizer

MODEL = Path(__file__).parents[1] / "formats" / "1" / "two.fewstep"


def rewritten(path: Path, without: str = "", **changes: object) -> Path:
    """The model with other JSON, and without a tensor."""
    with safe_open(MODEL, framework="pt") as file:
        header = json.loads(file.metadata()["fewstep"])
    tensors = {name: tensor for name, tensor in load_file(MODEL).items() if name != without}
    save_file(tensors, path, metadata={"fewstep": json.dumps({**header, **changes})})
    return path


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"without": "net/block1.conv.weight"}, "it has no block1.conv.weight"),
        ({"without": "novelty/left_out"}, "missing 1 required positional argument: 'left_out'"),
        ({"classes": ["a", "b", "c"]}, "its net has outputs [2] for 3 classes"),
        ({"inputs": [1, 10**6, 10**6]}, "expected 1 to 67108864 numbers"),
        ({"inputs": [1, 32, 32]}, "its images are [1, 28, 28], its inputs [1, 32, 32], expected the same"),
        ({"net": {"kind": "Conv4", "filters": 10**7}}, "parameters, expected 2147483648 or fewer"),
        ({"net": {"kind": "Conv4", "filters": "many"}}, "net.filters is 'many', expected a whole number"),
    ],
)
def test_a_model_that_lacks_something_or_does_not_fit_is_refused_with_what(changes, wrong, tmp_path):
    with pytest.raises(ValueError, match=re.escape(wrong)):
        fewstep.load(rewritten(tmp_path / "x.fewstep", **changes))


def stepped() -> torch.optim.Optimizer:
    parameter = torch.ones(2, 3, requires_grad=True)
    optimizer = outer_optimizer(Meta({"theta": {"w": parameter}}, {}), Training())
    parameter.sum().backward()
    optimizer.step()
    return optimizer


def test_the_state_of_an_optimizer_comes_back_and_that_of_another_is_refused():
    state = stepped().state_dict()
    put_state(stepped(), copy.deepcopy(state), "x.safetensors")
    for damage in (
        lambda found: found["state"][0].pop("exp_avg"),
        lambda found: found["state"][0].update(exp_avg=torch.zeros(3)),
        lambda found: found["state"][0].update(exp_avg=0.5),
        lambda found: found["state"].update({7: found["state"][0]}),
        lambda found: found["param_groups"][0].update(lr="fast"),
        lambda found: found["param_groups"].clear(),
    ):
        damaged = copy.deepcopy(state)
        damage(damaged)
        with pytest.raises(ValueError, match=r"x\.safetensors does not fit"):
            put_state(stepped(), damaged, "x.safetensors")


def test_a_damaged_line_of_a_log_is_an_error_unless_it_is_the_last():
    row = b'{"kind": "validation", "update": 1, "score": null, "ci95": null}'
    assert len(rows_of(row + b"\n" + row[:20], Path("log"))) == 1
    for damaged in (
        row[:20],
        b"{}",
        b"3",
        b'{"kind": "train", "update": 1, "loss": "low", "elapsed": 1, "seconds": 1}',
    ):
        with pytest.raises(ValueError, match="log is damaged: line 2 is no row of a log"):
            rows_of(row + b"\n" + damaged + b"\n" + row + b"\n", Path("log"))
