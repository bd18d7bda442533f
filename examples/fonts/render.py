"""Letters as classes, fonts as examples: `python render.py letters` writes letters/{train,val,test}/CLASS/FONT.png.

To train on: Latin, Greek and Cyrillic letters, and digits. To choose a checkpoint by: Hebrew and Georgian ones, in the
same fonts. To test: signs, in fonts of other packages. The same fonts give the same pictures.
"""

import argparse
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from fontTools.ttLib import TTFont  # comes with matplotlib
from PIL import Image, ImageDraw, ImageFont

CHARACTERS = {
    "train": (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"
        "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρστυφχψω"
        "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгджзийклмнопрстуфхцчшщъыьэюяЂЄЉЊЋЏѢѲ"
    ),
    "val": "אבגדהוזחטיךכלםמןנסעףפץצקרשתაბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "test": "&@#%$€£¥¢¤§¶†‡©®?!¿¡*+÷×±¬=≠≈≤≥<>«»‹›()[]{}/\\|^~_-—.,:;'\"“„•°‰√∞∑∏∫∂◊←↑→↓↔",
}
"""Of two that look alike the first stays."""
PACKAGES = (
    "fonts-cantarell fonts-cmu fonts-comfortaa fonts-crosextra-caladea fonts-dejavu-core fonts-ebgaramond "
    "fonts-freefont-ttf fonts-go fonts-jura fonts-liberation fonts-linuxlibertine fonts-paratype fonts-play "
    "fonts-quicksand fonts-sil-gentiumplus fonts-vollkorn fonts-bpg-georgian culmus"
)
HELD_OUT = (
    "fonts-averia-serif-gwf fonts-clear-sans fonts-comic-neue fonts-courier-prime fonts-essays1743 fonts-inter "
    "fonts-lato fonts-lemonada fonts-oldstandard fonts-opendyslexic fonts-roboto-slab fonts-stix"
)
"""Packages in whose fonts the test is drawn, and nothing else."""

EM, INK, SIDE = 160, 24, 28
"""Pixels: the em that a font draws at, the larger side of what it drew in the picture, a picture's side."""
ALIKE = 0.9
"""Correlation of pixels from which on two pictures show the same."""
SAME_FONT = 0.85
"""Mean correlation over characters from which on two fonts are one: weights of a family, copies of a classic."""
SHARE_OF_FONTS = 0.05
"""How many of the fonts draw two characters alike for these to be one class."""

Picture = npt.NDArray[np.uint8]


class Font(NamedTuple):
    """A file, and its characters drawn: `uint8 [SIDE, SIDE]`, 255 is ink."""

    path: Path
    pictures: Mapping[str, Picture]
    is_held_out: bool


def fonts_of(packages: str) -> list[Path]:
    """The font files that these Debian packages installed, in their order."""
    names = packages.split()
    listed = [subprocess.run(["dpkg", "-L", name], capture_output=True, text=True, check=False) for name in names]
    missing = [name for name, done in zip(names, listed, strict=True) if done.returncode]
    if missing:
        raise SystemExit(f"not installed, apt-get install {' '.join(missing)}")
    return [path for done in listed for path in sorted(map(Path, done.stdout.splitlines())) if is_font(path)]


def is_font(path: Path) -> bool:
    """Whether Pillow is to open it."""
    return path.suffix.lower() in (".ttf", ".otf")


def draw(path: Path, characters: Iterable[str]) -> dict[str, Picture]:
    """Those of `characters` that the font says it has, each as large as the frame allows, its sides in proportion."""
    with TTFont(path, lazy=True) as tables:
        known = tables.getBestCmap() or {}
    font = ImageFont.truetype(str(path), EM, layout_engine=ImageFont.Layout.BASIC)
    box = ink(font, "\U0010ffff")  # no character: what the font draws where it has none
    drawn = {character: ink(font, character) for character in characters if ord(character) in known}
    return {
        character: framed(image)
        for character, image in drawn.items()
        if image and not (box and image.tobytes() == box.tobytes())
    }


def ink(font: ImageFont.FreeTypeFont, character: str) -> Image.Image | None:
    """The character, cut out where its ink ends; None where it has none."""
    sheet = Image.new("L", (4 * EM, 4 * EM))
    ImageDraw.Draw(sheet).text((EM, EM), character, fill=255, font=font)
    edges = sheet.getbbox()
    return sheet.crop(edges) if edges else None


def framed(image: Image.Image) -> Picture:
    """`image` in the middle of the picture, its larger side `INK` pixels."""
    width, height = (max(1, round(INK * side / max(image.size))) for side in image.size)
    picture = Image.new("L", (SIDE, SIDE))
    picture.paste(image.resize((width, height), Image.Resampling.BOX), ((SIDE - width) // 2, (SIDE - height) // 2))
    return np.asarray(picture)


def unit(pictures: Mapping[str, Picture], characters: Sequence[str]) -> npt.NDArray[np.float32]:
    """Rows `[characters, SIDE²]` whose products are correlations of pixels; zeros for what is not there."""
    blank = np.zeros((SIDE, SIDE), np.uint8)
    rows = np.stack([pictures.get(character, blank) for character in characters]).reshape(len(characters), -1)
    centred = rows - rows.mean(1, keepdims=True, dtype=np.float32)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def distinct_fonts(fonts: Sequence[Font], characters: Sequence[str]) -> list[Font]:
    """Without those that draw, on average, as an earlier one does what both have."""
    kept: list[tuple[Font, npt.NDArray[np.float32]]] = []
    for font in fonts:
        rows = unit(font.pictures, characters)
        shared = [(len(font.pictures.keys() & other.pictures.keys()), (rows * theirs).sum()) for other, theirs in kept]
        if all(total < SAME_FONT * count for count, total in shared if count):
            kept.append((font, rows))
    return [font for font, _ in kept]


def distinct_characters(fonts: Sequence[Font], characters: Sequence[str]) -> list[str]:
    """Without those that look like an earlier one, kept or not, in some of the fonts that have both."""
    have = np.zeros((len(characters), len(characters)))
    alike = np.zeros_like(have)
    for font in fonts:
        there = np.array([character in font.pictures for character in characters])
        rows = unit(font.pictures, characters)
        have += np.outer(there, there)
        alike += rows @ rows.T > ALIKE
    same = np.tril(alike > SHARE_OF_FONTS * np.maximum(have, 1), -1).any(1)
    return [character for character, is_same in zip(characters, same, strict=True) if not is_same]


def unmistaken(font: Font, characters: Sequence[str]) -> Font:
    """Without what this font draws as it draws an earlier one of `characters`: small letters as capitals."""
    rows = unit(font.pictures, characters)
    mistaken = np.tril(rows @ rows.T > ALIKE, -1).any(1)
    clear = [character for character, is_same in zip(characters, mistaken, strict=True) if not is_same]
    return font._replace(pictures={c: font.pictures[c] for c in clear if c in font.pictures})


def name_of(character: str) -> str:
    """`latin-small-letter-a`."""
    return unicodedata.name(character).lower().replace(" ", "-")


def sorted_out(drawn: Sequence[Font], fewest: int) -> dict[str, dict[str, list[Font]]]:
    """The fonts of each split's characters: no copies, no look-alikes, `fewest` or more fonts to a character."""
    characters = "".join(CHARACTERS.values())
    fonts = distinct_fonts(drawn, characters)
    kept = distinct_characters(fonts, characters)
    fonts = [unmistaken(font, kept) for font in fonts]
    splits = {}
    for split, members in CHARACTERS.items():
        of_split = [font for font in fonts if font.is_held_out == (split == "test")]
        having = {c: [font for font in of_split if c in font.pictures] for c in members}
        splits[split] = {c: some for c, some in having.items() if len(some) >= fewest}
    return splits


def main() -> None:
    """Draw, sort out, write black on white."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fonts", type=Path, help="a folder of fonts to train in, instead of Debian's packages")
    parser.add_argument("--held-out", type=Path, help="a folder of fonts to test in")
    parser.add_argument("--fewest", type=int, default=10, help="fonts that a character needs: 5 shots and 5 queries")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} is there already; remove it or name another folder")
    drawn = [
        Font(path, draw(path, "".join(CHARACTERS.values())), is_held_out)
        for is_held_out, packages, folder in ((False, PACKAGES, arguments.fonts), (True, HELD_OUT, arguments.held_out))
        for path in (fonts_of(packages) if folder is None else sorted(filter(is_font, folder.rglob("*"))))
    ]
    for split, classes in sorted_out(drawn, arguments.fewest).items():
        for character, fonts in classes.items():
            folder = arguments.out / split / name_of(character)
            folder.mkdir(parents=True)
            for font in fonts:
                Image.fromarray(255 - font.pictures[character]).save(folder / f"{font.path.stem}.png")
        names = {font.path for fonts in classes.values() for font in fonts}
        images = sum(map(len, classes.values()))
        sys.stdout.write(f"{split}: {len(classes)} characters in {len(names)} fonts, {images} images\n")


if __name__ == "__main__":
    main()
