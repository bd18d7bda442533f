"""What a page of Markdown shows to be run: its Python blocks and the commands of its shell blocks, in order."""

import re
import shlex
import shutil
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", re.M | re.S)
INCLUDED = re.compile(r'^--8<-- "(.*)"$', re.M)


class Block(NamedTuple):
    """A fenced block: its language, the file that it is shown as, if any, and what is in it."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks that name their language, indented ones too, with the files that they include."""
    return [
        Block(language, "".join(re.findall(r'title="(.*?)"', options)), _filled(textwrap.dedent(text)))
        for _, language, options, text in FENCE.findall(page.read_text())
    ]


def _filled(text: str) -> str:
    return INCLUDED.sub(lambda found: (ROOT / found[1]).read_text().rstrip(), text)


def commands(block: Block) -> list[str]:
    """The lines of a shell block, those that a backslash continues as one; comments alone are none."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def words_of(line: str) -> list[str]:
    """The words of a command, without its comment; a shell's patterns are filled where files fit them."""
    words = shlex.split(line, comments=True)
    return [found for word in words for found in _files(word) or [word]]


def _files(pattern: str) -> list[str]:
    return sorted(map(str, Path().glob(pattern))) if "*" in pattern else []


def draw_birds(folder: Path) -> None:
    """A folder `birds` of 24 noisy colours."""
    rng = np.random.default_rng(0)
    for bird in range(24):
        (folder / "birds" / f"bird{bird:02d}").mkdir(parents=True)
        for i in range(8):
            noisy = rng.integers(0, 200, 3) + rng.integers(0, 40, (30, 20, 3))
            Image.fromarray(noisy.astype(np.uint8)).save(folder / "birds" / f"bird{bird:02d}" / f"{i}.png")


def draw_shapes(folder: Path) -> None:
    """A folder `shapes` of five symbols, drawn twice each, and `new.png`."""
    rng = np.random.default_rng(0)
    for shape in range(5):
        drawn = folder / "shapes" / f"shape{shape}"
        drawn.mkdir(parents=True)
        strokes = rng.integers(10, 95, (3, 4))
        for i in range(2):
            image = Image.new("L", (105, 105), 255)
            for stroke in strokes + rng.integers(-3, 4, strokes.shape):
                ImageDraw.Draw(image).line(stroke.tolist(), fill=0, width=4)
            image.save(drawn / f"{i}.png")
    shutil.copy(drawn / "1.png", folder / "new.png")
