"""The page of a comparison: runs side by side, their curves together, and their differences task by task."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from fewstep.comparison import Pair
from fewstep.durable import make_folder
from fewstep.record import Record
from fewstep.report import together
from fewstep.report.document import Code, Document, Pictures, Section, Table, Words, write_html, write_markdown
from fewstep.report.picture import Picture
from fewstep.report.study_tables import PAIRED_COLUMNS, Entry, cost_table, paired_cells, scores_table
from fewstep.report.together import Line
from fewstep.study import System
from fewstep.versions import versions

PAGE, MARKDOWN = "compare.html", "compare.md"

INTERVALS = (
    "± is half the width of a 95 % confidence interval over the test tasks. All runs were tested on the same tasks and "
    "are compared task by task, so that what makes a task hard for both cancels: a difference can be certain though "
    "the intervals of the two scores overlap. p is two-sided, by the normal approximation."
)


def write(records: Sequence[Record], pairs: Sequence[Pair], out: Path) -> Path:
    """Write page, Markdown and figures into `out`; returns the page's path."""
    make_folder(out)
    scores, differences = tables(records, pairs)
    metric, entries = records[0].metric, _entries(records)
    lines = [Line(entry.label, entry.records, entry.place) for entry in entries]
    named = ", ".join(line.label for line in lines)
    updates = [line for line in lines if line.records[0].trained]
    pictures = [
        Picture(
            together.over_steps(lines, metric, out / "steps.png"),
            "Inner steps",
            "The test score after every inner step, with its 95 % CI.",
            f"Test score over inner steps of {named}.",
        )
    ]
    if updates:
        curve = Picture(
            together.over_updates(updates, metric, out / "updates.png"),
            "Outer updates",
            "Validation with its 95 % CI; the faint lines are the training score, smoothed.",
            f"Validation score over outer updates of {named}.",
        )
        pictures.insert(0, curve)
    document = Document(
        kicker="fewstep compare",
        title=f"{named} on the same tasks",
        introduction=[Words(INTERVALS)],
        sections=[
            Section(title="Scores", blocks=[scores]),
            Section(title="Differences on the same tasks", blocks=[differences]),
            *(Section(title=picture.title, blocks=[Pictures(pictures=[picture])]) for picture in pictures),
            Section(title="What an update costs", blocks=[cost_table(entries)]),
            Section(title="Compare again", blocks=[Code(text=_command(records, out))]),
        ],
        versions=versions(),
    )
    write_markdown(document, out / MARKDOWN)
    return write_html(document, out / PAGE)


def tables(records: Sequence[Record], pairs: Sequence[Pair]) -> tuple[Table, Table]:
    """The scores of the runs, and their differences."""
    metric, labels = records[0].metric, _labels(records)
    rows = [
        [f"{labels[pair.first.folder]} minus {labels[pair.second.folder]}", *paired_cells(pair.outcome, metric)]
        for pair in pairs
    ]
    return scores_table(_entries(records), metric), Table(columns=["on the same tasks", *PAIRED_COLUMNS], rows=rows)


def _entries(records: Sequence[Record]) -> list[Entry]:
    labels = _labels(records)
    systems = [System(recipe=record.recipe.name, label=labels[record.folder]) for record in records]
    both = enumerate(zip(systems, records, strict=True))
    return [Entry(system, [record], place, record.metric) for place, (system, record) in both]


def _labels(records: Sequence[Record]) -> dict[Path, str]:
    """The names of the folders, their whole paths where two have one name."""
    names = [record.folder.name for record in records]
    is_clear = len(set(names)) == len(names)
    return {record.folder: record.folder.name if is_clear else str(record.folder) for record in records}


def _command(records: Sequence[Record], out: Path) -> str:
    return shlex.join(["fewstep", "compare", *(str(record.folder) for record in records), "--out", str(out)])
