"""Readers of few-shot data sets that circulate as image files with lists.

mini-ImageNet (Ravi & Larochelle 2017): `train.csv`, `val.csv`, `test.csv` of `filename,label`, and `images/`, or an
`images.tar` or `images.zip`, beside them. CIFAR-FS (Bertinetto et al. 2019, arXiv:1805.08136): `data/CLASS/IMAGE.png`
and `splits/bertinetto/{train,val,test}.txt`. CUB-200-2011 (Wah et al. 2011): `images.txt`, `image_class_labels.txt` and
`images/`, split by class id as in Chen et al. 2019 (arXiv:1904.04232).
"""

import csv
from collections.abc import Iterator, Mapping, Sequence

from fewstep.tasks.archive_members import Member, opened
from fewstep.tasks.split_contents import SPLITS, Contents, Piece, contents_of_files

MOST_LIST_BYTES = 1 << 24
ARCHIVES = ("images.tar", "images.tar.gz", "images.tgz", "images.zip")
Classes = dict[str, dict[str, list[Member]]]


def read_ravi(members: Sequence[Member], size: int, most_bytes: int) -> Contents | None:
    """mini-ImageNet's lists and images; None where the lists are not there."""
    lists = {member.name.removesuffix(".csv"): member for member in members if member.name.endswith(".csv")}
    if not set(SPLITS) <= set(lists):
        return None
    names = {split: _ravi_classes(lists[split]) for split in SPLITS}
    folder = lists["train"].path.rpartition("/")[0]
    packed = [m for m in members if m.name in ARCHIVES and m.path.rpartition("/")[0] == folder and m.source.is_dir()]
    if not packed:
        return contents_of_files(members, _found(names, members, lists["train"]), size)
    with opened(packed[0].source / packed[0].path) as images:
        classes = contents_of_files(images, _found(names, images, packed[0]), size).classes

    def pieces() -> Iterator[Piece]:
        with opened(packed[0].source / packed[0].path) as images:
            yield from contents_of_files(images, _found(names, images, packed[0]), size).pieces()

    return Contents(classes, pieces)


def read_cifar_fs(members: Sequence[Member], size: int, most_bytes: int) -> Contents | None:
    """Class folders under `data/` and the lists of classes; None where the lists are not there."""
    lists = {m.name.removesuffix(".txt"): m for m in members if m.path.endswith(f"splits/bertinetto/{m.name}")}
    if not set(SPLITS) <= set(lists):
        return None
    root = lists["train"].path.removesuffix("splits/bertinetto/train.txt")
    folders: dict[str, list[Member]] = {}
    for member in members:
        parts = member.path.removeprefix(root).split("/")
        if len(parts) == 3 and parts[0] == "data" and member.path.startswith(root):
            folders.setdefault(parts[1], []).append(member)
    classes: Classes = {}
    for split in SPLITS:
        names = _text(lists[split]).split()
        missing = [name for name in names if name not in folders]
        if missing:
            raise ValueError(f"{lists[split]} lists {missing[0]}, but there is no {root}data/{missing[0]}/ with images")
        classes[split] = {name: folders[name] for name in names}
    return contents_of_files(members, classes, size)


def read_cub(members: Sequence[Member], size: int, most_bytes: int) -> Contents | None:
    """CUB-200-2011; None where its lists are not there.

    With c the class id from 0 in the order of names, as the lists number them from 1: even c train, c mod 4 = 1
    selects, c mod 4 = 3 tests.
    """
    by_path = {member.path: member for member in members}
    roots = [path.removesuffix("image_class_labels.txt") for path in by_path if path.endswith("image_class_labels.txt")]
    if not roots or f"{roots[0]}images.txt" not in by_path:
        return None
    root = roots[0]
    labels = _table(by_path[f"{root}image_class_labels.txt"], numbers=True)
    classes: Classes = {split: {} for split in SPLITS}
    for number, path in _table(by_path[f"{root}images.txt"]).items():
        if number not in labels or f"{root}images/{path}" not in by_path:
            what = "label" if number not in labels else f"file images/{path}"
            raise ValueError(f"{by_path[f'{root}images.txt']}: image {number} has no {what}; download it again")
        split = ("train", "val", "train", "test")[(int(labels[number]) - 1) % 4]
        classes[split].setdefault(path.split("/")[0], []).append(by_path[f"{root}images/{path}"])
    return contents_of_files(members, classes, size)


def _ravi_classes(member: Member) -> dict[str, list[str]]:
    """The file names of each class."""
    classes: dict[str, list[str]] = {}
    rows = csv.DictReader(_text(member).splitlines())
    try:
        if not {"filename", "label"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{member} has the columns {rows.fieldnames}, expected filename and label")
        for row in rows:
            if row["filename"] is None or row["label"] is None:
                raise ValueError(f"{member}: line {rows.line_num} has no label; download it again")
            classes.setdefault(row["label"], []).append(row["filename"])
    except csv.Error as error:
        raise ValueError(f"{member}: line {rows.line_num} is damaged ({error}); download it again") from error
    return classes


def _found(names: Mapping[str, Mapping[str, Sequence[str]]], members: Sequence[Member], where: Member) -> Classes:
    """The member of every file name, wherever it lies."""
    by_name = {member.name: member for member in members}
    wanted = [name for classes in names.values() for files in classes.values() for name in files]
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(wanted)} images that the lists name, {missing[0]} for one, are not there "
            f"(beside or in {where}); expected images/, or one of {', '.join(ARCHIVES)}, beside the lists"
        )
    return {s: {name: [by_name[file] for file in files] for name, files in c.items()} for s, c in names.items()}


def _table(member: Member, *, numbers: bool = False) -> dict[str, str]:
    """`1 value` a line, the values `numbers` or anything."""
    rows = [line.split(maxsplit=1) for line in _text(member).splitlines() if line.strip()]
    if not all(len(row) == 2 and row[0].isdecimal() and (row[1].strip().isdecimal() or not numbers) for row in rows):
        raise ValueError(f"{member} is no list of numbers and values, one a line; download it again")
    return {number: value.strip() for number, value in rows}


def _text(member: Member) -> str:
    return member.read(MOST_LIST_BYTES).decode("utf-8", errors="replace")
