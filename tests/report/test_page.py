import base64
import html
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fewstep.checkpoint import load_checkpoint
from fewstep.journal import BEST
from fewstep.report import contents, page
from run_builders import identical

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Tags in order, and whether every one is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for seen, attributes in self.seen if seen == tag]


def pictures(text: str) -> list[Image.Image]:
    prefix = "data:image/png;base64,"
    sources = [attributes["src"] or "" for attributes in Outline(text).attributes("img")]
    assert all(source.startswith(prefix) for source in sources)
    return [Image.open(io.BytesIO(base64.b64decode(source.removeprefix(prefix)))) for source in sources]


def unfinished(run: Any, folder: Path, rows: list[str]) -> str:
    """The page of a copy of the run that has not been tested."""
    folder.mkdir()
    shutil.copy(run.folder / "recipe.json", folder)
    (folder / "metrics.jsonl").write_text("\n".join(rows))
    return page.write(replace(run.experiment, folder=folder), run.learner).read_text()


@pytest.mark.parametrize("run", ["sinusoid_run", "image_run"])
def test_page_is_self_contained_well_formed_and_without_scripts(run, request):
    text = request.getfixturevalue(run).page
    outline = Outline(text)
    addresses = [a[key] for _, a in outline.seen for key in ("src", "href", "srcset", "data", "action") if key in a]
    assert all(str(address).startswith("data:") for address in addresses)
    assert not re.search(r"url\(|@import|https?://", text)
    assert not outline.attributes("script")


@pytest.mark.parametrize(
    ("run", "names"), [("sinusoid_run", ["curves", "adaptation"]), ("image_run", ["curves", "tasks"])]
)
def test_page_shows_the_figures_of_the_folder_each_with_words_for_those_who_do_not_see_it(run, names, request):
    run = request.getfixturevalue(run)
    text = run.page
    assert all(len(attributes["alt"] or "") > 20 for attributes in Outline(text).attributes("img"))
    for picture, name in zip(pictures(text), names, strict=True):
        assert picture.format == "PNG"
        assert picture.tobytes() == Image.open(run.folder / f"{name}.png").tobytes()


def test_page_has_the_result_line_the_order_and_every_finding_of_the_audit(sinusoid_run):
    text = html.unescape(sinusoid_run.page)
    result = json.loads((sinusoid_run.folder / "result.json").read_text())
    assert result["line"] in text
    assert result["line"].split(" (")[0] in re.search(r'<p class="result"><b>(.*?)</b>', text).group(1)
    assert "Measured derivative order: <strong>2</strong>" in text
    assert all(check.finding in text for check in sinusoid_run.experiment.card.checks)


def test_transductive_result_has_two_lines_and_another_one(image_run, sinusoid_run):
    result = json.loads((image_run.folder / "result.json").read_text())
    values = re.findall(r'<p class="result"><b>(.*?)</b> <span>(.*?)</span>', image_run.page)
    assert [" ".join(value) for value in values] == [result["line"], result["per_query_line"]]
    assert sinusoid_run.page.count('<p class="result">') == 1


def test_table_has_the_score_of_every_inner_step(image_run):
    result = json.loads((image_run.folder / "result.json").read_text())
    cells = re.findall(r'<th scope="row">(\d+)</th><td class="score">(.*?)</td>', image_run.page)
    assert [int(step) for step, _ in cells] == [0, 1, 2]
    assert [text for _, text in cells] == [f"{100 * m:.2f} ± {100 * ci:.2f} %" for m, ci in result["at_step"]]


def test_words_of_a_recipe_are_escaped(image_run):
    text = image_run.page
    assert "<script" not in text
    assert "<b>images</b>" not in text
    assert "&lt;script&gt;alert(&#39;&amp; so on&#39;)&lt;/script&gt;" in text


def test_page_names_data_recipe_mapping_versions_and_how_to_go_on(sinusoid_run):
    text = html.unescape(sinusoid_run.page)
    header = json.loads((sinusoid_run.folder / "recipe.json").read_text())
    expected = [
        "A sin(x - phase)",
        "algorithm.inner-lr",
        "1 thread, task by task",
        f"torch {header['versions']['torch']}",
    ]
    expected += ["fewstep train sinusoid-10s-maml --seed 3", f"fewstep resume {sinusoid_run.folder}"]
    assert [words for words in expected if words not in text] == []


def test_unfinished_run_shows_its_curves_and_says_that_it_is_unfinished(sinusoid_run, tmp_path):
    rows = (sinusoid_run.folder / "metrics.jsonl").read_text().splitlines()
    text = unfinished(sinusoid_run, tmp_path / "run", [*rows[:4], '{"kind": "tra'])
    assert "This run is unfinished: 3 of 6 updates, not tested yet." in text
    assert '<p class="result">' not in text
    assert len(pictures(text)) == 2


def test_run_without_one_update_has_a_page(image_run, tmp_path):
    text = unfinished(image_run, tmp_path / "run", [])
    assert "0 of 6 updates" in text
    assert len(pictures(text)) == 1


def test_result_that_training_has_outrun_or_that_came_early_says_so(image_run):
    def told(updates: int, status: str) -> str:
        return contents.status(6, {"updates": updates, "status": status}, 6)

    assert told(3, "finished") == "Tested after update 3; training has gone on since, to 6 of 6."
    assert told(6, "out of time") == "Training stopped early (out of time) after 6 of 6 updates; tested as it was."
    assert told(6, "finished") == ""
    assert 'class="status"' not in image_run.page


def test_writing_a_page_leaves_the_learner_as_it_was_selected(image_run):
    assert identical(image_run.learner.meta, load_checkpoint(image_run.folder / BEST).meta)


def test_values_and_durations_read_as_a_person_writes_them():
    assert contents.plain({"train": 3, "turned": True}) == "train: 3, turned: yes"
    assert contents.plain([40, None]) == "40, none"
    assert [contents.duration(4.24), contents.duration(60), contents.duration(3599.6), contents.duration(7500)] == [
        "4.2 s",
        "1 min 00 s",
        "1 h 00 min",
        "2 h 05 min",
    ]
