"""`fewstep adapt RUN --support DIR --out FILE`: from a few images a class to a model that predicts."""

import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from fewstep import api
from fewstep.adapted import Adapted
from fewstep.cli.options import DataRoot, Device, Net, imported
from fewstep.exporting import SUFFIXES, Kind
from fewstep.measured import Accuracy, accuracy_of
from fewstep.tasks.cache import data_root
from fewstep.trained import Trained, read_trained


@dataclass(frozen=True, kw_only=True)
class AdaptArguments:
    """Adapt a trained learner to the classes of a folder and keep the model as one file, for `fewstep predict`.

    Needs no data but the support set. For a run trained under the norm policy `transductive` the accuracy of models
    made so is measured on the run's test tasks, once, where its data are at hand.
    """

    run: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(help="a run folder, a learner file, or the name of a learner of the package", metavar="RUN"),
    ]
    support: Path
    """the examples: SUPPORT/CLASS/IMAGE, one image a class or more"""
    out: Path
    """the file to write, as shapes.fewstep"""
    steps: int | None = None
    """inner steps; default: those of the recipe's test"""
    export: tuple[Kind, ...] = ()
    """write the net beside OUT as well: onnx, for other programs (OUT.onnx), torch, a program of torch.export
    (OUT.pt2)"""
    net: Net = None
    device: Device = "cpu"
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, adapt, say what the model is, save."""
    arguments = tyro.cli(AdaptArguments, prog="fewstep adapt", args=list(words))
    source = read_trained(arguments.run, net=imported(arguments.net), device=arguments.device)
    steps = source.steps if arguments.steps is None else arguments.steps
    accuracy = _accuracy(arguments, source, steps)
    source = dataclasses.replace(source, steps=steps, accuracy=accuracy.line)
    began = time.perf_counter()
    adapted: Any = api.adapt(source, arguments.support).fewstep
    seconds = time.perf_counter() - began
    adapted.save(arguments.out)
    written = [arguments.out]
    for kind in arguments.export:
        written.append(arguments.out.with_suffix(SUFFIXES[kind]))
        adapted.export(kind, written[-1])
    sys.stdout.write(_card(adapted, source, accuracy, seconds))
    sys.stdout.write("".join(f"written: {path}\n" for path in written))
    return 0


def _accuracy(arguments: AdaptArguments, source: Trained, steps: int) -> Accuracy:
    """Of models made so: what the learner file says, or the run folder, or a measurement."""
    if Path(arguments.run).is_dir():
        return accuracy_of(Path(arguments.run), data_root(arguments.data_root), steps, sys.stderr.write)
    if source.accuracy and steps == source.steps:
        return Accuracy(source.accuracy)
    return Accuracy("", f"the learner file has no figure for {steps} steps")


def _card(adapted: Adapted, source: Trained, accuracy: Accuracy, seconds: float) -> str:
    images, names = len(adapted.reference.embeddings), ", ".join(adapted.classes)
    said = f"{len(adapted.classes)} classes by {images} images in {seconds:.2f} s"
    measured = f"models made so score {accuracy.line}" if accuracy.line else f"not measured: {accuracy.why_not}"
    lines = [f"{source.recipe.name} adapted to {said}: {names}", *([adapted.note] if adapted.note else []), measured]
    return "".join(f"{line}\n" for line in lines)
