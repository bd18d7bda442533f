"""What was learned from and what was predicted: `python contact_sheet.py SUPPORT PREDICTIONS.csv OUT.png`.

A row a class: the images of SUPPORT/CLASS, then those of its images that are in the table of `fewstep predict`, each
with the class that was predicted and its probability, in red where that is not the image's folder. Images of other
classes come last, with how unlike the support set they are.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

RIGHT, WRONG = "tab:green", "tab:red"
Row = Mapping[str, str]


def class_of(row: Row) -> str:
    """What the image is: the name of its folder."""
    return Path(row["image"]).parent.name


def show(axes: Axes, file: Path, title: str, color: str = "black") -> None:
    """One image and what there is to say of it."""
    with Image.open(file) as image:
        axes.imshow(image.convert("L"), cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=6, color=color, pad=3)


def prediction(row: Row, classes: Sequence[str]) -> tuple[str, str]:
    """The title of an image that was predicted, and its colour."""
    if class_of(row) not in classes:
        return f"{row['class']}?\nunlike all: {float(row['novelty']):.2f}", "black"
    is_right = row["class"] == class_of(row)
    return f"{row['class']}\n{100 * float(row[row['class']]):.1f} %", RIGHT if is_right else WRONG


def main(support: Path, table: Path, out: Path) -> None:
    """Draw the sheet."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    examples = {folder.name: sorted(folder.iterdir()) for folder in sorted(support.iterdir())}
    names = [*examples, *dict.fromkeys(class_of(row) for row in rows if class_of(row) not in examples)]
    asked = {name: [row for row in rows if class_of(row) == name] for name in names}
    shots, queries = max(map(len, examples.values())), max(map(len, asked.values()))
    figure, grid = plt.subplots(len(names), shots + queries, squeeze=False)
    figure.set_size_inches(1.25 * (shots + queries), 0.95 * len(names))
    for axes in grid.flat:
        axes.axis("off")
    for name, line in zip(names, grid, strict=True):
        for axes, example in zip(line, examples.get(name, []), strict=False):
            show(axes, example, f"{name}\nlearned from")
        for axes, row in zip(line[shots:], asked[name], strict=False):
            show(axes, Path(row["image"]), *prediction(row, list(examples)))
    figure.tight_layout(pad=0.4)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
