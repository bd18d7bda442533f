"""Every snippet of the docs runs: the Python blocks and commands of a page, in order, in a folder of its own."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from torch.distributed.run import get_args_parser

import fewstep
from fewstep import measured, recipes
from fewstep.cli import main
from fewstep.mapping import Mapping
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.published import Published
from fewstep.tasks.strokes import Strokes
from run_builders import FEW_ALPHABETS
from snippets import ROOT, blocks, commands, draw_shapes, words_of

PAGES = {
    str(page.relative_to(ROOT / "docs")): page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if {"python", "sh"} & {block.language for block in blocks(page)}
}
ELSEWHERE = ("pip install ", "python3 -m venv ", "make ", "python -m ", "python ")
"""How lines begin that install something, or whose target is tested elsewhere."""
FEW = [
    *["--updates", "2", "--threads", "1", "--chunk", "1", "--training.meta-batch", "2"],
    *["--training.validation-tasks", "2", "--evaluation.tasks", "2"],
]
ALPHABETS = [
    word for name, count in FEW_ALPHABETS.items() for word in (f"--tasks.{name.replace('_', '-')}", str(count))
]


def needs_omniglot(page: Path) -> bool:
    """Whether a training on it reads the real Omniglot."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in commands(block)]
    trained = [words_of(line)[2:] for line in lines if line.startswith("fewstep train ")]
    named = [words[0] for words in trained if words[0][0] != "-" and ":" not in words[0] and FOLDER not in words]
    found = [recipes.find(name) for name in named]
    return any(isinstance(tasks, Omniglot) for recipe in found for tasks in (recipe.train_tasks, recipe.test_tasks))


FOLDER = "--tasks.folder"
NEED_OMNIGLOT = {name for name, page in PAGES.items() if needs_omniglot(page)}


def few(function: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    return lambda *given, **named: function(*given, **{**named, **settings})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory; trainings from Python take two updates of two tasks, tests two tasks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(measured, "TASKS", 2)
    monkeypatch.setattr(fewstep, "train", few(fewstep.train, updates=2, mapping=Mapping()))
    monkeypatch.setattr(fewstep, "evaluate", few(fewstep.evaluate, count=2))
    monkeypatch.setattr(fewstep, "Training", few(fewstep.Training, meta_batch=2, validation_tasks=2))
    before, modules = matplotlib.get_backend(), {*sys.modules}
    matplotlib.use("agg")
    yield
    matplotlib.use(before)
    for name in {*sys.modules} - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]  # a file of the page


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.omniglot] if page in NEED_OMNIGLOT else []) for page in PAGES]
)
def test_everything_that_a_page_shows_runs(
    page: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
):
    """Blocks with a title are files, and written; the others share their names, as in a notebook."""
    if page in NEED_OMNIGLOT:
        request.getfixturevalue("real_data")
    shown, names = blocks(PAGES[page]), {"__name__": "__main__"}
    text = "\n".join(block.text for block in shown)
    for block in shown:
        if block.title:
            Path(block.title).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, page, "exec"), names)
        elif block.language == "sh":
            for line in commands(block):
                run(line, text, capsys)


def run(line: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of a page that holds `text`, small where it trains, or see that it could be run."""
    words = words_of(line)
    if words[0] == "torchrun":
        assert get_args_parser().parse_args(words[1:]).training_script == "fewstep"
    elif words[0] != "fewstep":
        assert line.startswith(ELSEWHERE), line
    else:
        ready(words[1:])
        code = main(run_as(words[1:], text))
        assert code == 0, f"{line}\n{capsys.readouterr().err}"


def ready(words: list[str]) -> None:
    """Put in place what a command reads and the page did not make: recorded runs, symbols."""
    if "shapes" in words and not Path("shapes").exists():
        draw_shapes(Path.cwd())
    for run in map(Path, words[1:] if words[0] in ("evaluate", "audit", "compare", "resume", "adapt", "pack") else ()):
        for record in (ROOT / run, ROOT / "results" / run.name.removesuffix("-s0")):
            if not run.exists() and (record / "recipe.json").exists():
                shutil.copytree(record, run)


def run_as(words: list[str], text: str) -> list[str]:
    """The command as it is run here."""
    verb, *rest = words
    if verb == "train":
        return [verb, *rest, *how_to_train(rest, text)]
    if verb == "evaluate":
        return [verb, *rest, "--tasks", "2"]
    if verb == "study":
        out = Path(rest[rest.index("--out") + 1] if "--out" in rest else f"studies/{rest[0]}")
        out.mkdir(parents=True)
        return [verb, *rest, "--report-only"]
    if verb == "play" or (verb == "data" and "import" in rest):
        return [verb, "--help"]
    return words


def how_to_train(words: list[str], text: str) -> list[str]:
    """Two updates where the page goes on to read the run; else a dry run."""
    recipe = recipes.find(words[0] if words and not words[0].startswith("-") else recipes.DEFAULT)
    folder = words[words.index("--out") + 1] if "--out" in words else f"runs/{recipe.name}-s0"
    if isinstance(recipe.train_tasks, Published):
        return ["--help"]
    small = ALPHABETS if isinstance(recipe.train_tasks, Strokes) and FOLDER not in words else []
    if text.count(folder) == text.count(f"--out {folder}"):
        return ["--dry-run", *small]
    net = ["--net.filters", "4"] if "--net" not in words and hasattr(recipe.net, "filters") else []
    return [*FEW, *net, *small]


def test_where_a_newcomer_begins_no_data_are_needed():
    assert not NEED_OMNIGLOT & {"index.md", "tutorials/images.md", "tutorials/net.md", "tutorials/sinusoids.md"}
