"""Exported nets compute what the net does, run by other programs."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

import fewstep
from fewstep.exporting import export
from fewstep.seeding import seeded
from run_builders import few_strokes


@pytest.fixture(scope="module")
def model() -> nn.Module:
    support = few_strokes(ways=5, queries=2).test.sample(0, "use", 0, 1).select(0).support
    with seeded(0, "test"):
        net = fewstep.Conv4(filters=4).build((1, 28, 28), 5)
    return fewstep.adapt(fewstep.learner_of(net, fewstep.MAML(inner_lr=0.4)), support)


X = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def test_onnxruntime_computes_what_the_net_does_for_batches_of_any_size(model, tmp_path, capfd):
    onnxruntime = pytest.importorskip("onnxruntime")
    model.fewstep.export("onnx", tmp_path / "five.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "five.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        (found,) = session.run(["outputs"], {"images": X[:count].numpy()})
        np.testing.assert_allclose(found, model(X[:count]).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["five.onnx"]
    assert capfd.readouterr() == ("", "")


def test_a_torch_program_computes_what_the_net_does_for_batches_of_any_size(model, tmp_path, capfd):
    model.fewstep.export("torch", tmp_path / "five.pt2")
    program = torch.export.load(tmp_path / "five.pt2").module()
    for count in (1, 2, 7):
        torch.testing.assert_close(program(X[:count]), model(X[:count]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("kind", "name", "wrong"), [("onnx", "a.pt2", r"ends in \.onnx"), ("tf", "a.tf", "onnx, tor")])
def test_another_suffix_or_kind_is_refused(model, tmp_path, kind, name, wrong):
    with pytest.raises(ValueError, match=wrong):
        model.fewstep.export(kind, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_error_names_it(model, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'onnx needs onnx, onnxscript, onnxruntime: pip install "fewstep\[onnx\]"'):
        model.fewstep.export("onnx", tmp_path / "five.onnx")


def test_a_torch_whose_exporter_takes_no_program_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.4.1+cu121")
    with pytest.raises(ValueError, match=r"export to onnx needs torch 2\.5 or newer, this is 2\.4\.1\+cu121"):
        model.fewstep.export("onnx", tmp_path / "five.onnx")


class Branching(nn.Module):
    """What it computes depends on the values, which no export can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) if bool(x.sum() > 0) else x


def test_a_net_that_cannot_be_exported_is_an_error_with_torchs_reason(tmp_path):
    with pytest.raises(ValueError, match="Branching cannot be exported: "):
        export(Branching(), (2,), "torch", tmp_path / "branching.pt2")
