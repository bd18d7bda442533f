"""The page of a study: every system beside the others and beside what is stated of it, from its run folders alone."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from fewstep import recipes
from fewstep.durable import make_folder, replace_file
from fewstep.record import Record
from fewstep.report.document import Block, Code, Document, Section, Words, write_html, write_markdown
from fewstep.report.study_json import summary
from fewstep.report.study_sections import classification, code, regression
from fewstep.report.study_tables import (
    Entry,
    runs_table,
    updates_words,
)
from fewstep.study import Study, read_errors, records_by_system
from fewstep.versions import versions

METRICS = ("accuracy", "mse")
PAGE, MARKDOWN, SUMMARY, FIGURES = "study.html", "study.md", "study.json", "figures"

INTERVALS = (
    "What ± means: half the width of a 95 % confidence interval over the test tasks. Had other tasks been drawn, the "
    "figure would most likely have moved by no more than that. It does not cover the luck of training. Where a system "
    "was trained several times, from other random numbers (seeds), the figure is the mean, and the standard deviation "
    "over seeds says how far such trainings lie apart."
)


def write(study: Study, folder: Path) -> Path:
    """Draw what there is in `folder`: page, Markdown, figures and JSON; returns the page's path."""
    entries = _entries(study, folder)
    make_folder(folder / FIGURES)
    document = Document(
        kicker="fewstep study",
        title=study.title,
        introduction=[*map(Words, study.introduction), Words(INTERVALS), *_notes(entries, read_errors(folder))],
        sections=[
            *classification(study, [entry for entry in entries if entry.metric == "accuracy"], folder / FIGURES),
            *regression([entry for entry in entries if entry.metric == "mse"], folder / FIGURES),
            *code(entries),
            _again(study, entries, folder),
        ],
        versions=versions(),
    )
    replace_file(folder / SUMMARY, json.dumps(summary(study, entries, read_errors(folder)), indent=2).encode())
    write_markdown(document, folder / MARKDOWN)
    return write_html(document, folder / PAGE)


def _entries(study: Study, folder: Path) -> list[Entry]:
    """Classification before regression, each with a palette of its own."""
    found = records_by_system(study, folder)
    groups = [(metric, [s for s in study.systems if _metric(s.recipe, found) == metric]) for metric in METRICS]
    return [
        Entry(system, found[system.recipe], place, metric)
        for metric, group in groups
        for place, system in enumerate(group)
    ]


def _metric(recipe: str, found: dict[str, list[Record]]) -> str:
    if found[recipe]:
        return found[recipe][0].metric
    return "mse" if recipes.find(recipe).loss == "mean_squared_error" else "accuracy"


def _notes(entries: Sequence[Entry], errors: dict[str, str]) -> list[Block]:
    """What whoever reads this must not take for finished."""
    missing = [f"{entry.label} ({entry.system.recipe})" for entry in entries if not entry.records]
    runs = [(entry.label, record) for entry in entries for record in entry.records]
    cut = [f"{label}, seed {r.seed}: {updates_words(r)} updates" for label, r in runs if r.updates < r.planned]
    stale = [f"{label}, seed {record.seed}" for label, record in runs if not record.is_tested_as_it_is]
    told = [f"The run {name} failed: {error}" for name, error in errors.items()]
    told += [f"No run yet, so left out below: {'; '.join(missing)}."] if missing else []
    told += [f"Not trained to the end: {'; '.join(cut)}."] if cut else []
    told += [f"Not tested as they are now: {'; '.join(stale)}."] if stale else []
    return [Words(text, "status") for text in told]


def _again(study: Study, entries: Sequence[Entry], folder: Path) -> Section:
    names = [entry.system.recipe for entry in entries] if study.name == "study" else [study.name]
    seeds = max((record.seed + 1 for entry in entries for record in entry.records), default=1)
    command = shlex.join(["fewstep", "study", *names, "--out", str(folder), "--seeds", str(seeds)])
    words = "This goes on where runs were stopped and leaves finished ones alone; with --report-only it only draws."
    exact = "The command that repeats a single run, number by number, is in the report.html of its folder."
    blocks: list[Block] = [Code(text=command), Words(words), Words(exact), runs_table(entries)]
    return Section(title="Run it again", blocks=blocks)
