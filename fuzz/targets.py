"""Everything of fewstep that reads what others wrote: sound input to begin with, and the reader to be given it unsound.

The sound files are those of the tests, which are a few kilobytes.
"""

import contextlib
import io
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

import fewstep
from fewstep import recipes
from fewstep.checkpoint import load_checkpoint
from fewstep.cli import main
from fewstep.journal import put_meta
from fewstep.optimizer_state import put_state
from fewstep.record import read_record
from fewstep.report import contents
from fewstep.study import read_errors
from fewstep.tasks import omniglot_archives
from fewstep.tasks.archive_members import opened
from fewstep.tasks.omniglot_layout import Part
from fewstep.tasks.preprocessing import Preprocessing
from fewstep.tasks.published_files import read_cifar_fs, read_cub, read_ravi
from fewstep.tasks.published_pickles import read_cache, read_data_and_labels, read_tiered
from fewstep.trained import read_trained
from fewstep.training import outer_optimizer
from fuzz import mutation

TESTS = Path(__file__).parents[1] / "tests"
FILES = TESTS / "formats" / "1"
MOST_BYTES = 1 << 20
READERS = (read_cache, read_data_and_labels, read_tiered, read_ravi, read_cifar_fs, read_cub)
Ending = Literal["result", "error"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """`read` is given a folder in which `file` holds the input. Its errors must name `named`."""

    name: str
    file: str
    seeds: tuple[bytes, ...]
    mutate: mutation.Mutation
    read: Callable[[Path], object]
    named: tuple[str, ...] = ()
    beside: Path | None = None
    """a folder of what lies beside the file"""

    def ending(self, data: bytes, folder: Path) -> Ending:
        """Give it one input. Any other end than a result or one clear error is raised."""
        (folder / self.file).write_bytes(data)
        try:
            self.read(folder)
        except (ValueError, OSError) as error:
            text = str(error)
            if not any(name in text for name in (*self.named, self.file)):
                raise AssertionError(f"an error that does not say where: {error!r}") from error
            return "error"
        return "result"

    def prepare(self, folder: Path) -> None:
        """Lay what belongs beside the file into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.beside is not None:
            shutil.copytree(self.beside, folder, dirs_exist_ok=True)

    def mutated(self, rng: random.Random) -> bytes:
        """One of the sound inputs, made unsound."""
        return self.mutate(rng.choice(self.seeds), rng)


def _adapted(folder: Path) -> None:
    model = fewstep.load(folder / "a.fewstep")
    model.fewstep.predict(torch.zeros(1, *model.fewstep.inputs))


def _checkpoint(folder: Path) -> None:
    learner = read_trained(FILES / "run.fewstep-learner").learner
    recipe = recipes.find("sinusoid-10s-maml")
    found = load_checkpoint(folder / "checkpoint-00000002.safetensors")
    put_meta(learner, found.meta, folder / "checkpoint-00000002.safetensors")
    put_state(
        outer_optimizer(learner.meta, recipe.training), found.optimizer, folder / "checkpoint-00000002.safetensors"
    )


def _record(folder: Path) -> None:
    record = read_record(folder)
    contents.result_lines(record.result)
    contents.step_scores(record.result)
    assert record.updates + record.planned + record.seconds + record.threads is not None


def _image(folder: Path) -> None:
    Preprocessing(size=8, color="RGB").decode(folder / "a.png")


def _omniglot(folder: Path) -> None:
    omniglot_archives.read(folder, 8, "nearest", (Part("background", 1, "0" * 32),))


def _archive(folder: Path) -> None:
    with opened(folder / "a.archive") as members:
        for member in members:
            member.read(MOST_BYTES)


def _published(file: str, folder: Path) -> None:
    source = folder / file if file.endswith("archive") else folder
    with opened(source) as members:
        for reader in READERS:
            if (found := reader(members, 6, MOST_BYTES)) is not None:
                for piece in found.pieces():
                    assert piece.images.shape[1:] == (6, 6, 3)


def _table(folder: Path) -> None:
    fewstep.from_csv(folder / "a.csv", target="sales", task="shop").tasks(shots=1, queries=1)


def _classes(folder: Path) -> None:
    fewstep.from_csv(folder / "a.csv", target="shop").tasks(ways=2, shots=1, queries=1)


def _words(folder: Path) -> None:
    """Ends in 0, 1 or 2; an error is one line that says what is wrong, or tyro's box."""
    words = (folder / "words").read_bytes().decode("utf-8", "replace").split("\n")
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main([*words, "--dry-run"])
    told = said.getvalue()
    if code not in (0, 1, 2) or "unexpected" in told.split("error:")[-1][:20] or "Traceback" in told:
        raise AssertionError(f"{words} ended in {code}: {told}")
    if code:
        raise ValueError(f"words: {told}")


def targets(beside: Path = Path("beside")) -> list[Target]:
    """All of them; the files that belong beside their input are written to `beside`."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    import published_builders as published

    def file(name: str) -> bytes:
        return (FILES / name).read_bytes()

    def of_published(data_set: str, files: dict[str, bytes], name: str) -> Target:
        folder = beside / name
        return Target(
            name=f"{data_set}, {name}",
            file=name,
            seeds=(files[name],),
            mutate=mutation.of_table if name.endswith((".csv", ".txt")) else mutation.of_archive,
            read=partial(_published, name),
            named=("train", "val", "test", "images", "class", "example", "a.archive"),
            beside=published.write(folder, files) if len(files) > 1 else None,
        )

    drawing = _picture("PNG", 105, "1")
    omniglot = {f"images_background/a/b/{i:04d}_{i + 1:02d}.png": drawing for i in range(20)}
    few = {"a/one.txt": b"1" * 700, "b/two.txt": b"2" * 3000, "top.txt": b"0"}
    sales = "shop,region,week,sales\n" + "".join(f"{s},{'ab'[s % 2]},{w},{s}.{w}\n" for s in range(8) for w in range(3))
    cifar, cub = published.zipped(published.cifar_files()), published.tarred(published.cub_files(), "w:gz")
    run = FILES / "run"
    return [
        Target(
            name="adapted model",
            file="a.fewstep",
            seeds=(file("two.fewstep"),),
            mutate=mutation.of_tensors,
            read=_adapted,
        ),
        Target(
            name="learner",
            file="a.fewstep-learner",
            seeds=(file("two.fewstep-learner"), file("run.fewstep-learner")),
            mutate=mutation.of_tensors,
            read=lambda folder: read_trained(folder / "a.fewstep-learner"),
        ),
        Target(
            name="checkpoint",
            file="checkpoint-00000002.safetensors",
            seeds=(file("run/checkpoint-00000002.safetensors"),),
            mutate=mutation.of_tensors,
            read=_checkpoint,
        ),
        Target(
            name="recipe.json",
            file="recipe.json",
            seeds=(file("run/recipe.json"),),
            mutate=mutation.of_json,
            read=_record,
            beside=run,
        ),
        Target(
            name="result.json",
            file="result.json",
            seeds=(file("run/result.json"),),
            mutate=mutation.of_json,
            read=_record,
            beside=run,
        ),
        Target(
            name="metrics.jsonl",
            file="metrics.jsonl",
            seeds=(file("run/metrics.jsonl"),),
            mutate=mutation.of_lines,
            read=_record,
            beside=run,
        ),
        Target(
            name="errors.json of a study",
            file="errors.json",
            seeds=(file("errors.json"),),
            mutate=mutation.of_json,
            read=read_errors,
        ),
        Target(name="image", file="a.png", seeds=_pictures(), mutate=mutation.of_png, read=_image),
        Target(
            name="Omniglot",
            file="images_background.zip",
            seeds=(published.zipped(omniglot),),
            mutate=mutation.of_zip,
            read=_omniglot,
        ),
        Target(
            name="archive",
            file="a.archive",
            seeds=(published.zipped(few), published.tarred(few), published.tarred(few, "w:gz")),
            mutate=mutation.of_archive,
            read=_archive,
        ),
        *(
            of_published(data_set, files, name)
            for data_set, files, name in (
                ("mini-ImageNet", published.cache_files(), "mini-imagenet-cache-train.pkl"),
                ("CIFAR-FS", published.labelled_files("CIFAR_FS_{}.pickle"), "CIFAR_FS_val.pickle"),
                ("tiered-ImageNet", published.tiered_labels() | published.tiered_pngs(), "test_images_png.pkl"),
                ("tiered-ImageNet", published.tiered_labels() | published.tiered_arrays(), "train_images.npz"),
                ("mini-ImageNet", published.ravi_lists() | published.ravi_images(), "train.csv"),
                ("CIFAR-FS", {"a.archive": cifar}, "a.archive"),
                ("CUB", {"a.archive": cub}, "a.archive"),
            )
        ),
        Target(
            name="table, values",
            file="a.csv",
            seeds=(sales.encode(),),
            mutate=mutation.of_table,
            read=_table,
            named=_COLUMNS,
        ),
        Target(
            name="table, classes",
            file="a.csv",
            seeds=(sales.encode(),),
            mutate=mutation.of_table,
            read=_classes,
            named=_COLUMNS,
        ),
        Target(name="words of the command line", file="words", seeds=_lines(), mutate=mutation.of_words, read=_words),
    ]


_COLUMNS = ("column", "target", "class", "row", "split", "task", "line", "shop", "sales")


def _picture(kind: str, side: int, mode: str) -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert(mode).save(stream, kind)
    return stream.getvalue()


def _pictures() -> tuple[bytes, ...]:
    kinds = (("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"), ("PNG", "1"), ("JPEG", "RGB"), ("GIF", "P"))
    more = (("BMP", "RGB"), ("WEBP", "RGBA"), ("TIFF", "L"), ("TIFF", "I;16"), ("PPM", "L"))
    return tuple(_picture(kind, 9, mode) for kind, mode in (*kinds, *more))


def _lines() -> tuple[bytes, ...]:
    lines: Sequence[str] = (
        "train sinusoid-10s-maml --net.hidden 8 8 --algorithm.inner-lr 0.1 --training.updates 3",
        "train course-sinusoid-5s-maml --algorithm.optimizer adam --algorithm.optimizer.beta1 0.5 --seed 2",
        "train sinusoid-10s-reptile --tasks.shots 5 --tasks.x -1 1 --net mlp --net.activation tanh",
        "train sinusoid-10s-fomaml --norm none --training.clip-norm 1.0 --evaluation.steps 2 --out runs/x",
    )
    return tuple(line.replace(" ", "\n").encode() for line in lines)
