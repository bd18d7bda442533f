"""The page of a study: what it says of finished, cut, failed and missing runs."""

import dataclasses
import html
import json
import re
from pathlib import Path

import pytest

from fewstep import studies
from fewstep.recipes import find
from fewstep.report import study_page
from fewstep.report.document import Code, Document, Section, Table, Words, as_text, write_html, write_markdown
from fewstep.study import note_error, study_of
from record_builders import result_of, train_rows, validation_rows, write_record

MAML, FOMAML, ADAGRAD = "course-5w1s-maml", "course-5w1s-fomaml", "course-5w1s-adagrad"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of MAML, one of Adagrad that was cut, first order without scores by task, one sinusoid; one failed."""
    folder = tmp_path_factory.mktemp("study")
    steep, flat = [0.9] * 60, [0.5] * 40 + [0.7, 0.9] * 10
    for seed, scores in ((0, [0.8, 1.0, 1.0, 1.0]), (1, [1.0, 0.8, 0.8, 1.0])):
        rows = [*train_rows([*steep[:-1], 0.91]), *validation_rows({30: 0.8, 60: 0.9 + 0.02 * seed})]
        write_record(folder / f"{MAML}-s{seed}", MAML, rows, result_of(scores, updates=800), seed=seed)
    rows = [*train_rows(flat), *validation_rows({30: 0.5, 60: 0.8})]
    cut = result_of([0.8, 0.6, 0.8, 0.6], updates=60, status="out of time")
    write_record(folder / f"{ADAGRAD}-s0", ADAGRAD, rows, cut)
    write_record(folder / "recorded-before", FOMAML, rows, result_of(None, updates=800, mean=0.83))
    regression = result_of([1.0, 3.0], updates=10000, metric="mse", transductive=False)
    write_record(folder / "sinusoid", "course-sinusoid-5s-maml", train_rows([2.0] * 60, key="mse"), regression)
    note_error(folder, "course-5w1s-doa-s0", "no data <here>")
    study_page.write(studies.ASSIGNMENT, folder)
    return folder


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    """The page's words, without tags."""
    page = re.sub(r"<style>.*?</style>", "", (folder / "study.html").read_text(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_page_is_one_file_without_scripts_and_addresses(folder):
    page = (folder / "study.html").read_text()
    assert page.startswith("<!doctype html>")
    assert not re.search(r"<script|url\(|@import|https?://|<link", page)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="(.*?)"', page))
    assert page.count("<img") == 6


def test_several_seeds_are_a_mean_with_the_interval_over_tasks_and_the_std_over_seeds(text):
    """Means 0.95 and 0.90: mean 92.50, std 3.54. By task .9 .9 .9 1: std 0.05, 1.96 · 0.05 / 2 = 4.90 points."""
    assert "92.50 ± 4.90 % mean of 2 seeds, std over seeds 3.54 points, 1 inner step" in text


def test_a_cut_run_is_stated_where_its_score_stands_and_at_the_top(text):
    assert "70.00 ± 0.60 % one seed: CI over tasks, 1 inner step cut at 60 of 800" in text
    assert "Not trained to the end: Adagrad inner loop, seed 0: cut at 60 of 800 updates." in text


def test_what_the_assignment_states_stands_beside_ours_with_the_difference(text):
    """70.00 − 92.5 = −22.5 and √(0.60² + 2.11²) = 2.19."""
    assert "92.5 ± 2.1 % 555 of 600; second order, five steps −22.5 ± 2.2 points outside the interval" in text


def test_missing_and_failed_runs_are_stated(text):
    assert "The run course-5w1s-doa-s0 failed: no data <here>" in text
    missing = "Order annealing (course-5w1s-doa); MAML++, per-step statistics (course-5w1s-mamlpp)"
    assert f"No run yet, so left out below: {missing}" in text


def test_claims_are_ruled_on_by_the_numbers(text):
    """Twenty updates of MAML have a mean of 0.9 at once; of Adagrad 0.5s and 0.8s on average only at the very end."""
    assert "“Adagrad climbs less steeply”: our measurement supports this. With seed 0, " in text
    assert "at update 60 for Adagrad inner loop and at update 20 for Second-order MAML, of 60 updates" in text
    assert "“Adagrad oscillates more”: our measurement supports this." in text


def test_paired_differences_are_of_the_means_over_seeds_and_say_where_there_are_none(text):
    """Adagrad .8 .6 .8 .6 less MAML's .9 .9 .9 1: −.1 −.3 −.1 −.4, mean −0.225, std 0.15, ± 14.70 points."""
    assert "Adagrad inner loop minus Second-order MAML −22.50 ± 14.70 points" in text
    assert "First-order MAML against Second-order MAML: a result.json without the scores of every task" in text


def test_the_json_and_the_markdown_say_the_same(folder, text):
    values = json.loads((folder / "study.json").read_text())
    adagrad = next(system for system in values["systems"] if system["recipe"] == ADAGRAD)
    assert adagrad["score"]["mean"] == pytest.approx(0.7)
    assert adagrad["minus_first"]["mean"] == pytest.approx(-0.225)
    assert values["errors"] == {"course-5w1s-doa-s0": "no data <here>"}
    assert all(claim["words"] in text for claim in values["claims"])
    markdown = (folder / "study.md").read_text()
    assert "| −22.50 ± 14.70 points |" in markdown
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", markdown)
    assert len(pictures) == 6
    assert all((folder / picture).exists() for picture in pictures)


def test_a_study_without_a_single_run_has_a_page_that_says_so(tmp_path):
    page = study_page.write(studies.ASSIGNMENT, tmp_path).read_text()
    assert "No run yet, so left out below: Second-order MAML" in page
    assert "<img" not in page


def test_a_run_of_an_overridden_recipe_says_what_was_overridden(tmp_path):
    recipe = find(MAML)
    shorter = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, updates=30))
    write_record(tmp_path / "run", shorter, train_rows([0.5] * 30), result_of([0.5, 0.7], updates=30))
    page = study_page.write(study_of([MAML]), tmp_path).read_text()
    assert "30 (--training.updates 30)" in page


def test_words_are_escaped_in_html_and_tables_are_whole_in_markdown(tmp_path):
    table = Table(columns=["a", "b"], rows=[["x|y", "1\nfine <print>"]])
    section = Section(title="<i>", blocks=[table, Code(text="1 < 2", title="less"), Words("one & two")])
    document = Document(kicker="", title="t", introduction=[], sections=[section], versions={"fewstep": "1"})
    page = write_html(document, tmp_path / "page.html").read_text()
    assert "<h2>&lt;i&gt;</h2>" in page
    assert "<small>fine &lt;print&gt;</small>" in page
    markdown = write_markdown(document, tmp_path / "page.md").read_text()
    assert "| a | b |\n|---|---|\n| x\\|y | 1; fine <print> |\n" in markdown
    assert "```\n1 < 2\n```" in markdown
    assert as_text(table) == "a    b\nx|y  1"
