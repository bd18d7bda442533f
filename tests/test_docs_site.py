"""What the site is built from: the reference, the hooks, the notebooks, and the algorithm that is added."""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from mkdocs.exceptions import PluginError

import fewstep
from docs.hooks import equations, help, notebooks, trust
from fewstep.cli import VERBS
from snippets import ROOT, blocks

DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def test_every_public_name_is_in_the_reference_once():
    pages = [page.read_text() for page in (DOCS / "reference").glob("*.md")]
    named = [name for text in pages for name in re.findall(r"^::: fewstep\.(\w+)$", text, re.M)]
    assert sorted(named) == sorted(fewstep.__all__)


def test_every_verb_has_a_section_and_its_help_on_the_page_of_the_command_line():
    text = (DOCS / "command-line.md").read_text()
    assert re.findall(r"^## (\S+)$", text, re.M) == [*re.findall(r"^ +<!-- fewstep (\w+).* --help -->$", text, re.M)]
    assert set(re.findall(r"^## (\S+)$", text, re.M)) == set(VERBS)


def test_a_mark_becomes_the_help_of_its_verb_as_the_program_says_it():
    text = help.on_page_markdown("before\n\n    <!-- fewstep resume --help -->\n\nafter\n")
    assert text.startswith("before\n\n    ```text\n    usage: fewstep resume [-h]")
    assert "stop again after so many minutes of training" in text
    assert all(line.startswith("    ") or not line for line in text.splitlines()[2:-2])
    with pytest.raises(ValueError, match="`fewstep nonsense --help` ended with 2"):
        help.on_page_markdown("<!-- fewstep nonsense --help -->")


@pytest.mark.parametrize(
    ("marked", "display"),
    [
        (r'<span class="arithmatex">\(\theta &lt; 1\)</span>', "inline"),
        ('<div class="arithmatex">\\[\n\\phi^*\n\\]</div>', "block"),
    ],
    ids=["in its line", "on its own"],
)
def test_an_equation_becomes_mathml_in_its_line_or_in_its_own(marked: str, display: str):
    drawn = equations.on_page_content(f"<p>{marked}</p>")
    assert drawn.startswith(f'<p><math xmlns="http://www.w3.org/1998/Math/MathML" display="{display}">')
    assert "\\" not in drawn


def test_an_equation_that_cannot_be_drawn_whole_stops_the_build():
    with pytest.raises(PluginError, match=r"cannot be drawn: \\arg"):
        equations.on_page_content(r'<span class="arithmatex">\(\arg\)</span>')


def test_records_of_trust_become_tables_of_their_counts(tmp_path: Path):
    record = {"command": "python kills.py", "seed": 0, "commit": "abc", "seconds": 240, "kills": 12345}
    (tmp_path / "kills.json").write_text(json.dumps({**record, "where": {"in a file": 4, "by the clock": 29}}))
    assert trust.tables(tmp_path) == (
        "### Kills\n\n`python kills.py`, 4 minutes, commit `abc`\n\n| | |\n|---|---|\n"
        "| kills | 12 345 |\n| where | in a file 4, by the clock 29 |"
    )


def test_every_record_of_trust_has_its_table_and_counts_within_counts_a_row_each():
    page = trust.tables(trust.RECORDS)
    targets = json.loads((trust.RECORDS / "inputs.json").read_text())["targets"]
    assert page.count("### ") == len(list(trust.RECORDS.glob("*.json"))) >= 3
    assert all(f"| {name} | inputs " in page for name in targets)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_is_stored_without_outputs_and_runs_without_a_warning(path: Path):
    """Through the hook that makes its page: what was run for the site on the same sources is not run again."""
    assert '"outputs": []' in path.read_text()
    assert '"output_type"' not in path.read_text()
    notebook = notebooks.executed(path)
    page = notebooks.page_of(notebook, path.stem)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    assert page.markdown.count("```python") == len(code)
    pictures = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(page.pictures) == len(pictures)
    assert f"![]({path.stem}" not in page.markdown  # every picture says what it shows


@pytest.fixture(scope="module")
def three_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the page "Add an algorithm" shows, written where it says."""
    folder = tmp_path_factory.mktemp("three")
    shown = [block for block in blocks(DOCS / "add-an-algorithm.md") if block.title]
    for block in shown:
        (folder / block.title).write_text(block.text)
    names = [Path(block.title).stem for block in shown]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.syspath_prepend(ROOT / "tests" / "algorithms")
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        yield folder
        for name in names:
            sys.modules.pop(name, None)


def collected(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


def test_the_algorithm_of_the_page_passes_the_test_that_the_page_shows(three_files: Path):
    import test_minibatch_prox

    assert Path(test_minibatch_prox.__file__).parent == three_files
    for test in collected(test_minibatch_prox).values():
        test()


def conformance() -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "tests" / "algorithms"))
    try:
        import test_every_algorithm
    finally:
        sys.path.remove(str(ROOT / "tests" / "algorithms"))
    return collected(test_every_algorithm)


def cases() -> list[Any]:
    """Every test of what holds for all algorithms, with the values of what it is run over beside the rows."""
    found = []
    for name, test in conformance().items():
        others = [mark.args for mark in test.pytestmark if mark.name == "parametrize" and mark.args[0] != "row"]
        for values in product(*(values for _, values in others)):
            given = dict(zip((names for names, _ in others), values, strict=True))
            found.append(pytest.param(name, given, id="-".join([name, *map(str, values)])))
    return found


@pytest.mark.parametrize(("name", "given"), cases())
def test_the_algorithm_of_the_page_is_held_to_what_every_algorithm_is_held_to(
    name: str, given: dict[str, Any], three_files: Path, tmp_path: Path
):
    import test_every_algorithm
    from minibatch_prox import MinibatchProx

    test = conformance()[name]
    row = test_every_algorithm.Row(algorithm=MinibatchProx(inner_lr=0.1, inner_steps=3))
    folder = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {}
    test(row, **given, **folder)
