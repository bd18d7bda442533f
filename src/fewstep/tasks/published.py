"""The colour data sets of the few-shot literature, from the files in which they circulate.

mini-ImageNet (Vinyals et al. 2016, arXiv:1606.04080, split of Ravi & Larochelle 2017), tiered-ImageNet (Ren et al.
2018, arXiv:1803.00676), CIFAR-FS (Bertinetto et al. 2019, arXiv:1805.08136), FC100 (Oreshkin et al. 2018,
arXiv:1805.10123) and CUB-200-2011 (Wah et al. 2011, split of Chen et al. 2019, arXiv:1904.04232). None may be passed on
by us: `fewstep data import` reads the files that a user has, once, into the data root.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal, NamedTuple

from fewstep.digest import digest
from fewstep.tasks import cache, image_store
from fewstep.tasks.archive_members import Member, opened
from fewstep.tasks.episodes import ImageClass, ImageTasks
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tasks.published_files import read_cifar_fs, read_cub, read_ravi
from fewstep.tasks.published_pickles import read_cache, read_data_and_labels, read_tiered
from fewstep.tasks.split_contents import SPLITS, Contents
from fewstep.tasks.splits import Splits

PublishedName = Literal["mini-imagenet", "tiered-imagenet", "cifar-fs", "fc100", "cub"]
_ROOM_BYTES = 1 << 28
"""What a pickle may have beside its images."""
_MOST_PER_BYTE = 4
"""Old protocols write a byte as text: as one or two bytes of UTF-8, Python 2's first as up to four, `\\xff`."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set as published."""

    size: int
    """height and width in pixels, to which larger images are brought (Lanczos)"""
    classes: tuple[int, int, int]
    """of train, val and test"""
    images: tuple[int, ...]
    """of train, val and test, or of all together"""
    readers: tuple[Callable[[Sequence[Member], int, int], Contents | None], ...]
    forms: str
    """the files that are read"""
    split: str
    """whose split it is"""


DATA_SETS: dict[PublishedName, DataSet] = {
    "mini-imagenet": DataSet(
        size=84,
        classes=(64, 16, 20),
        images=(64 * 600, 16 * 600, 20 * 600),
        readers=(read_cache, read_data_and_labels, read_ravi),
        forms="mini-imagenet-cache-{train,val,test}.pkl, or {train,val,test}.csv of Ravi & Larochelle with images/ or "
        "images.tar, or miniImageNet_category_split_{train_phase_train,val,test}.pickle",
        split="Ravi & Larochelle 2017",
    ),
    "tiered-imagenet": DataSet(
        size=84,
        classes=(351, 97, 160),
        images=(448695, 124261, 206209),
        readers=(read_tiered,),
        forms="{train,val,test}_labels.pkl with {train,val,test}_images_png.pkl or {train,val,test}_images.npz",
        split="Ren et al. 2018 (arXiv:1803.00676)",
    ),
    "cifar-fs": DataSet(
        size=32,
        classes=(64, 16, 20),
        images=(64 * 600, 16 * 600, 20 * 600),
        readers=(read_data_and_labels, read_cifar_fs),
        forms="cifar100.zip of Bertinetto et al. (data/CLASS/IMAGE.png, splits/bertinetto/), or "
        "CIFAR_FS_{train,val,test}.pickle",
        split="Bertinetto et al. 2019 (arXiv:1805.08136)",
    ),
    "fc100": DataSet(
        size=32,
        classes=(60, 20, 20),
        images=(60 * 600, 20 * 600, 20 * 600),
        readers=(read_data_and_labels,),
        forms="FC100_{train,val,test}.pickle",
        split="Oreshkin et al. 2018 (arXiv:1805.10123)",
    ),
    "cub": DataSet(
        size=84,
        classes=(100, 50, 50),
        images=(11788,),
        readers=(read_cub,),
        forms="CUB_200_2011.tgz (images.txt, image_class_labels.txt, images/)",
        split="Chen et al. 2019 (arXiv:1904.04232): by class id from 0, even train, 1 mod 4 val, 3 mod 4 test",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """N-way tasks of a published colour data set that `fewstep data import` has read."""

    name: PublishedName
    """which one: `fewstep data list`"""
    ways: int = 5
    """classes a task"""
    shots: int = 1
    """support images a class"""
    queries: int = 15
    """query images a class"""

    @property
    def preprocessing(self) -> Preprocessing:
        """What a further photo goes through to look like these."""
        return Preprocessing(size=DATA_SETS[self.name].size, color="RGB")

    def build(self, data_root: Path | None = None) -> Splits:
        """The three splits of `data_root/NAME`; the root defaults to `FEWSTEP_DATA`, else the user's cache folder.

        Raises `ValueError` where it has not been imported, saying what to download and what to do with it.
        """
        stored = load(self.name, cache.data_root(data_root))
        train, val, test = (self._tasks(stored, split) for split in SPLITS)
        return Splits(
            train=train,
            val=val,
            test=test,
            summary={
                "tasks": self.name,
                "split": DATA_SETS[self.name].split,
                "ways, shots, queries": [self.ways, self.shots, self.queries],
                "inputs": list(train.inputs),
                "classes": {tasks.split: len(tasks.classes) for tasks in (train, val, test)},
                "images": {split: len(stored.images[split]) for split in SPLITS},
                "hash": digest([stored.classes, stored.checksums]),
            },
            preprocessing=self.preprocessing,
        )

    def _tasks(self, stored: image_store.Stored, split: str) -> ImageTasks:
        classes = stored.classes[split]
        starts = accumulate((size for _, size in classes), initial=0)
        return ImageTasks(
            split=split,
            images=stored.images[split],
            classes=[ImageClass(name, start, size) for (name, size), start in zip(classes, starts, strict=False)],
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
        )


class Report(NamedTuple):
    """What `verify` found of a split; `problem` is None if all is well."""

    split: str
    classes: int
    images: int
    problem: str | None


def load(name: PublishedName, root: Path) -> image_store.Stored:
    """What was imported as `name`. Raises `ValueError` where there is nothing."""
    if name not in DATA_SETS:
        raise ValueError(f"name={name!r}: expected one of {', '.join(DATA_SETS)}")
    if not (root / name).is_dir():
        raise ValueError(
            f"{name} is not in {root}: download {DATA_SETS[name].forms}, then run `fewstep data import {name} PATH`, "
            f"PATH the file or the folder that holds them (its licence lets nobody else pass it on)"
        )
    return image_store.load(root / name)


def import_files(
    name: PublishedName, path: Path, root: Path, see: Callable[[int], object] = lambda images: None
) -> Path:
    """Read the data set from the folder or archive `path` into `root/NAME`, which is returned; whole or not at all.

    Raises `ValueError` for files in no known form, damaged, or of other numbers than published.
    """
    folder, published = root / name, DATA_SETS[name]
    if folder.exists():
        raise ValueError(f"{folder} is there already; move it away to import {name} again")
    most_bytes = _MOST_PER_BYTE * max(published.images) * published.size**2 * 3 + _ROOM_BYTES
    with opened(path.parent if path.suffix in (".pkl", ".pickle", ".csv", ".npz") else path) as members:
        found = (reader(members, published.size, most_bytes) for reader in published.readers)
        contents = next((one for one in found if one is not None), None)
        if contents is None:
            raise ValueError(f"{path} does not hold {name} in a form that is known: expected {published.forms}")
        _check(contents.classes, published, f"{path}:")
        image_store.store(contents, published.size, folder, see)
    return folder


def verify(name: PublishedName, root: Path) -> list[Report]:
    """Read every byte of what was imported and count; problems of a split are reported."""
    stored = load(name, root)
    _check(stored.classes, DATA_SETS[name], f"{root / name}:")
    reports = []
    for split in SPLITS:
        path = root / name / f"{split}.npy"
        is_whole = image_store.checksum(path) == stored.checksums[split]
        problem = None if is_whole else f"{path} has changed since it was imported; remove {path.parent}, import again"
        reports.append(Report(split, len(stored.classes[split]), len(stored.images[split]), problem))
    return reports


def _check(classes: dict[str, list[tuple[str, int]]], published: DataSet, where: str) -> None:
    """Raise `ValueError` unless the numbers are those published and no class is in two splits."""
    counts = tuple(len(classes[split]) for split in SPLITS)
    images = tuple(sum(size for _, size in classes[split]) for split in SPLITS)
    if len(published.images) == 1:
        images = (sum(images),)
    if (counts, images) != (published.classes, published.images):
        raise ValueError(
            f"{where} {_numbers(counts)} classes in train, val and test with {_numbers(images)} images, expected "
            f"{_numbers(published.classes)} with {_numbers(published.images)}; files are missing, or the split differs"
        )
    names = [name for split in SPLITS for name, _ in classes[split]]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{where} class {twice} is in two splits, expected none to be; download it again")


def _numbers(numbers: Sequence[int]) -> str:
    return " / ".join(map(str, numbers))
