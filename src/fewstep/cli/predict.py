"""`fewstep predict FILE IMG...`: which class of its support set each image is of."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from fewstep.adapted import Adapted, Prediction
from fewstep.adapted_file import load
from fewstep.cli.options import Device, Net, imported
from fewstep.durable import replace_file
from fewstep.tasks.preprocessing import image_files

SHOWN = 3
"""Classes of an image that a line shows, likeliest first."""
BATCH = 256
"""Images read and predicted together, so that any number of them fits into memory."""


@dataclass(frozen=True, kw_only=True)
class PredictArguments:
    """Say of every image which class it is of, how probable that is, and how unlike the support set it is.

    The last is in [0, 1]: 0.3 says that 30 % of images of unknown classes are as near to some support image, or
    nearer. Images of known classes are near 0.
    """

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="what `fewstep adapt` wrote", metavar="FILE")]
    images: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(help="image files, or folders of them", metavar="IMG")
    ]
    csv: Path | None = None
    """write a table too: image, class, novelty, then a column for every class's probability"""
    json: bool = False
    """print everything as JSON"""
    net: Net = None
    device: Device = "cpu"


def main(words: Sequence[str]) -> int:
    """Parse, predict, print."""
    arguments = tyro.cli(PredictArguments, prog="fewstep predict", args=list(words))
    images = [file for path in arguments.images for file in (image_files(path) if path.is_dir() else [path])]
    if not images:
        raise ValueError("predict needs images: fewstep predict FILE IMG...")
    model: Any = load(arguments.model, net=imported(arguments.net), device=arguments.device)
    adapted: Adapted = model.fewstep
    predicted: dict[Path, Prediction] = {}
    for first in range(0, len(images), BATCH):
        files = images[first : first + BATCH]
        predicted.update(zip(files, adapted.predict(files), strict=True))
    if arguments.csv is not None:
        _write_table(arguments.csv, predicted, adapted.classes)
    sys.stdout.write(_as_json(predicted) if arguments.json else _as_lines(predicted))
    return 0


def _as_lines(predicted: dict[Path, Prediction]) -> str:
    width = max(len(str(image)) for image in predicted)
    return "".join(f"{image!s:{width}}  {_line(prediction)}\n" for image, prediction in predicted.items())


def _line(prediction: Prediction) -> str:
    likeliest = list(prediction.probabilities.items())[:SHOWN]
    unlike = "" if prediction.novelty is None else f"  (unlike the support set: {prediction.novelty:.2f})"
    return ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in likeliest) + unlike


def _as_json(predicted: dict[Path, Prediction]) -> str:
    rows = [
        {"image": str(image), "class": one.name, "novelty": one.novelty, "probabilities": one.probabilities}
        for image, one in predicted.items()
    ]
    return json.dumps(rows, indent=2) + "\n"


def _write_table(path: Path, predicted: dict[Path, Prediction], classes: Sequence[str]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["image", "class", "novelty", *classes])
    for image, one in predicted.items():
        table.writerow([image, one.name, one.novelty, *(one.probabilities[name] for name in classes)])
    replace_file(path, text.getvalue().encode())
