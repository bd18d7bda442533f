"""Every algorithm has its page in the docs, and every figure on it was recorded or is quoted in a recipe."""

import dataclasses
import importlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mkdocs.exceptions import PluginError

import fewstep
from docs.hooks import records
from fewstep import recipes

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "algorithms"
ALGORITHMS = {
    name: path
    for name, path in ((name, fewstep._HOMES[name]) for name in fewstep.__all__)
    if path.startswith("algorithms.")
}
QUOTED = " ".join(recipe.about for recipe in recipes.ALL)
PERCENT = re.compile(r"\d+(?:\.\d+)?(?: ± \d*\.\d+)?(?= %)")
PARTS = (
    "The idea",
    "The update",
    "Choices",
    "Departures",
    "Our results beside the paper's",
    "When to use it",
    "Try it",
)


@cache
def page_of(name: str) -> str:
    return (PAGES / f"{ALGORITHMS[name].removeprefix('algorithms.')}.md").read_text()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_page_has_its_parts_the_paper_an_equation_the_fields_and_the_records(name: str):
    page, module = page_of(name), importlib.import_module(f"fewstep.{ALGORITHMS[name]}")
    assert tuple(re.findall(r"^## (.*)$", page, re.M)) == PARTS
    arxiv = re.search(r"arXiv:(\d{4}\.\d{5})", str(module.__doc__))
    assert arxiv is not None
    assert f"[arXiv:{arxiv[1]}](https://arxiv.org/abs/{arxiv[1]})" in page
    assert re.search(r"\n\$\$\n.+\n\$\$\n", page, re.S)
    assert f"{{{{ fields algorithms/{module.__name__.rsplit('.', 1)[1]}.py {name} }}}}" in page
    assert f"{{{{ recorded {name} }}}}" in page
    assert f"fewstep.{name}(" in page.partition("```python")[2]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_recipes_without_a_record_are_listed_where_there_are_any(name: str):
    is_waiting = any(path is None for _, path in records.of_algorithm(name).values())
    assert (f"{{{{ waiting {name} }}}}" in page_of(name)) == is_waiting
    if not is_waiting:
        with pytest.raises(PluginError, match="every recipe"):
            records.waiting(name)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_percentages_that_are_written_out_are_those_that_recipes_quote(page: Path):
    prose = re.sub(r"`[^`]*`", "", page.read_text())
    written = PERCENT.findall(prose)
    assert [figure for figure in written if f"{figure} %" not in QUOTED] == []


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_place_is_filled(page: Path):
    filled = records.on_page_markdown(page.read_text())
    assert "{{" not in filled


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_table_of_an_algorithm_holds_the_command_and_the_line_of_every_record(name: str):
    table = records.recorded(name).replace("\u00a0", " ").splitlines()
    for recipe, folder in records.of_algorithm(name).values():
        if folder is not None:
            result = json.loads((folder / "result.json").read_text())
            (row,) = (row for row in table if f"`fewstep train {recipe.name}`" in row)
            assert f"| {result['line'].partition(' (')[0]} |" in row
            alone = result["per_query_line"].partition(" (")[0] if result["transductive"] else "the same"
            assert row.endswith(f"| {alone} |")
            assert recipes.find(recipe.name) is recipe


def index_rows() -> list[list[str]]:
    lines = (PAGES / "index.md").read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [")]


@pytest.mark.parametrize("cells", index_rows(), ids=lambda cells: cells[0].partition("]")[0].lstrip("["))
def test_the_index_states_order_and_ways_of_the_recipe_whose_figure_it_shows(cells: list[str]):
    link, _, order, any_ways, place = cells
    page, run = re.search(r"\((\w+)\.md", link), re.fullmatch(r"\{\{ alone budget/([\w-]+) \}\}", place)
    assert page is not None
    assert run is not None
    algorithm = recipes.find(run[1]).algorithm
    assert type(algorithm).__module__ == f"fewstep.algorithms.{page[1]}"
    default = {1: "1", 2: "2", None: "none"}[_default(algorithm).order_at(10**9)]
    assert order == ("1" if "FOMAML" in link else default)
    assert any_ways == ("yes" if algorithm.makes_head else "no")


def test_the_index_names_every_algorithm():
    linked = {re.search(r"\((\w+)\.md", cells[0])[1] for cells in index_rows()}  # type: ignore[index]
    assert linked == {path.removeprefix("algorithms.") for path in ALGORITHMS.values()}


def _default(algorithm: Any) -> Any:
    """The same class as its author made it, but for what has no default."""
    required = {"inner_lr": algorithm.inner_lr} if hasattr(algorithm, "inner_lr") else {}
    return type(algorithm)(**required)


def test_fields_are_those_of_the_dataclass_with_their_defaults():
    table = records.filled("fields", ["algorithms/maml.py", "MAML"]).splitlines()
    assert table[2] == "| `inner_lr` | required | inner learning rate α, on the mean loss |"
    assert "| `optimizer` | `SGD()` | the inner optimizer |" in table
    assert len(table) == 2 + len(dataclasses.fields(fewstep.MAML))


@pytest.mark.parametrize(
    "place",
    ["score no-such-run", "step course-5w1s-maml 9", "fields algorithms/maml.py No", "recorded No", "what budget"],
)
def test_a_place_that_cannot_be_filled_stops_the_build(place: str):
    what, *words = place.split()
    with pytest.raises(PluginError):
        records.filled(what, words)


def test_records_of_another_norm_and_of_a_step_are_read():
    step = records.filled("step", ["sinusoid-10s-maml", "1"]).replace("\u00a0", " ")
    assert step == "MSE 0.3572 ± 0.0260"
    for norm in ("transductive", "support"):
        score = records.filled("score", [f"course-5w1s-mamlpp/evaluated-{norm}"]).replace("\u00a0", " ")
        assert score in (ROOT / "results" / "README.md").read_text()


def score(run: str) -> float:
    return records.result_of(run)["at_step"][-1][0]


def alone(run: str) -> float:
    return records.result_of(f"budget/budget-5w1s-{run}")["per_query"][0]


def updates(run: str) -> int:
    return records.result_of(f"budget/budget-5w1s-{run}")["updates"]


def interval(run: str) -> float:
    return records.result_of(f"budget/budget-5w1s-{run}")["per_query"][1]


def best_of_all(figure: str, folders: str) -> str:
    """The record of the images' runs whose figure is the best."""
    results = {path.parent.name: json.loads(path.read_text()) for path in ROOT.glob(f"results/{folders}/result.json")}
    scores = {name: [result[figure]] if figure == "per_query" else result[figure] for name, result in results.items()}
    images = [name for name, result in results.items() if result["metric"] == "accuracy"]
    return max(images, key=lambda name: scores[name][-1][0])


CLAIMS = {
    ("maml", "beat first order by more than ten points"): lambda: (
        score("course-5w1s-maml") > score("course-5w1s-fomaml") + 0.1
    ),
    ("anil", "three quarters more updates"): lambda: 1.65 < updates("anil") / updates("maml") < 1.85,
    ("anil", "ANIL beats MAML"): lambda: alone("anil") - interval("anil") > alone("maml") + interval("maml"),
    ("maml_plus_plus", "half as many updates again"): lambda: 1.4 < updates("maml") / updates("mamlpp") < 1.6,
    ("maml_plus_plus", "the highest figure recorded here"): lambda: best_of_all("at_step", "*") == "omniglot-5w1s-best",
    ("reptile", "a fiftieth of the updates"): lambda: 0.02 <= updates("reptile") / 100000 < 0.025,
    ("boil", "it is behind"): lambda: alone("boil") < alone("maml"),
    ("meta_sgd", "level with MAML"): lambda: abs(alone("metasgd") - alone("maml")) < interval("maml"),
    ("imaml", "ten minutes hold 1900 of them"): lambda: updates("imaml") == 1900,
    ("alfa", "fewer than half as many updates"): lambda: updates("alfa") < updates("maml") / 2,
    ("protonet", "best ten minutes of all"): lambda: best_of_all("per_query", "budget/*") == "budget-5w1s-protonet",
    ("r2d2", "ProtoNet did better here"): lambda: alone("protonet") - interval("protonet") > alone("r2d2"),
    ("matching_net", "ProtoNet did better here"): lambda: (
        alone("protonet") - interval("protonet") > alone("matchingnet")
    ),
}
"""Words on a page, and what the records have to hold for them."""


@pytest.mark.parametrize(("page", "words"), CLAIMS, ids=" ".join)
def test_what_a_page_says_of_figures_in_words_is_so(page: str, words: str):
    assert words in " ".join((PAGES / f"{page}.md").read_text().split())
    assert CLAIMS[page, words]()
