"""A net as a file that other programs run: ONNX, or a program of torch.export; compared with the net before it counts.

ONNX needs `pip install "fewstep[onnx]"`.
"""

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from fewstep.durable import replace_file

Kind = Literal["onnx", "torch"]
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
SUFFIXES: dict[Kind, str] = {"onnx": ".onnx", "torch": ".pt2"}
OLDEST_TORCH_FOR_ONNX = (2, 5)
"""From then on torch.onnx.export takes an exported program."""
BATCHES = (1, 3)
"""Sizes of the batches on which file and net are compared; neither is the size at which it was exported."""


def export(net: nn.Module, inputs: tuple[int, ...], kind: Kind, path: Path) -> None:
    """Write `net`, which maps `[N, *inputs]` to `[N, outputs]` for any N, and compare the file's outputs with its own.

    Raises `ValueError` where they differ, where the net cannot be exported, or a package that `onnx` needs is missing.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"export to {kind!r}: expected one of {', '.join(get_args(Kind))}")
    if path.suffix != SUFFIXES[kind]:
        raise ValueError(f"export to {kind!r} as {path.name}: expected a name that ends in {SUFFIXES[kind]}")
    if kind == "onnx" and (missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]):
        raise ValueError(f'export to onnx needs {", ".join(missing)}: pip install "fewstep[onnx]"')
    if kind == "onnx" and _release(torch.__version__) < OLDEST_TORCH_FOR_ONNX:
        oldest = ".".join(map(str, OLDEST_TORCH_FOR_ONNX))
        raise ValueError(f"export to onnx needs torch {oldest} or newer, this is {torch.__version__}")
    like = next(net.parameters())
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, *inputs, generator=generator, dtype=like.dtype).to(like.device)
    with _quiet():
        exported = _export_onnx(net, x[:2]) if kind == "onnx" else _export_torch(net, x[:2])
        for count in BATCHES:
            _compare(exported.run, net, x[:count], path)
    replace_file(path, exported.content)


def _release(version: str) -> tuple[int, int]:
    """`2.13.0+cpu` as (2, 13)."""
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


class _File(NamedTuple):
    """What a file is to hold, and what computes as whoever loads it does."""

    content: bytes
    run: Callable[[Tensor], Tensor]


def _export_torch(net: nn.Module, x: Tensor) -> _File:
    file = io.BytesIO()
    torch.export.save(_exported(net, x), file)
    loaded: Callable[[Tensor], Tensor] = torch.export.load(io.BytesIO(file.getvalue())).module()
    return _File(file.getvalue(), loaded)


def _export_onnx(net: nn.Module, x: Tensor) -> _File:
    import onnxruntime

    program = torch.onnx.export(
        _exported(net, x),
        input_names=["images"],
        output_names=["outputs"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    content = program.model_proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: x.cpu().numpy()})[0])

    return _File(content, run)


def _exported(net: nn.Module, x: Tensor) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad():
            return torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # torch's own errors of export have no common class
        raise ValueError(
            f"{type(net).__name__} cannot be exported: {str(error).splitlines()[0]} (torch.export says it of this "
            f"net, which must take batches of any size)"
        ) from error


def _compare(run: Callable[[Tensor], Tensor], net: nn.Module, x: Tensor, path: Path) -> None:
    with torch.no_grad():
        expected, found = net(x).cpu(), run(x).cpu()
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"{path} was not written: it would compute other outputs than {type(net).__name__}, of shape "
            f"{list(found.shape)}; expected {list(expected.shape)} and the same to 1e-3"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print and warn of their own affairs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
