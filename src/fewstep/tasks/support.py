"""A support set from a folder of class folders."""

from pathlib import Path
from typing import NamedTuple

import torch

from fewstep.core import Examples
from fewstep.tasks.preprocessing import Preprocessing, class_folders, image_files


class Support(NamedTuple):
    """Examples of class ids 0, 1, ..., and the classes' names in that order."""

    examples: Examples
    classes: tuple[str, ...]


def read_support(folder: Path, preprocessing: Preprocessing) -> Support:
    """Read `folder/CLASS/IMAGE`, the classes by name; they may have any numbers of images.

    Raises `ValueError` for fewer than two class folders with images and for a file that does not decode, by its name.
    """
    folders = class_folders(folder)
    if len(folders) < 2:
        found = "is no folder" if not folder.is_dir() else f"has {len(folders)} class folders with images"
        raise ValueError(f"{folder} {found}, expected two or more: {folder}/CLASS/IMAGE")
    files = [image_files(of_class) for of_class in folders]
    y = torch.arange(len(folders)).repeat_interleave(torch.tensor([len(of_class) for of_class in files]))
    x = preprocessing.read([file for of_class in files for file in of_class])
    return Support(Examples(x, y), tuple(of_class.name for of_class in folders))
