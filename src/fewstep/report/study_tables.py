"""The tables of a study and of a comparison, and how numbers read in them."""

from collections.abc import Sequence
from typing import NamedTuple

from fewstep.comparison import Paired
from fewstep.record import Record
from fewstep.report.contents import duration
from fewstep.report.document import Table
from fewstep.report.measures import (
    LEVEL,
    OverSeeds,
    paired_over_seeds,
    seconds_per_update,
    spread,
    tested,
    tested_per_query,
    updates_to_level,
)
from fewstep.report.reproduce import overrides
from fewstep.report.together import in_seconds
from fewstep.study import Stated, System

NOT_YET = "–"


class Entry(NamedTuple):
    """A system and its runs, by seed."""

    system: System
    records: list[Record]
    place: int
    """in the palette"""
    metric: str

    @property
    def label(self) -> str:
        """What it is called."""
        return self.system.label


def scores_table(entries: Sequence[Entry], metric: str) -> Table:
    """The test of every system beside what is stated of it."""
    is_stated = any(entry.system.stated for entry in entries)
    what = "test accuracy" if metric == "accuracy" else "test MSE"
    stated = ["the assignment's own", "ours minus theirs"] if is_stated else []
    alone = ["each query alone"] if metric == "accuracy" else []
    rows = [
        [
            f"{entry.label}\n{entry.system.recipe}",
            _score_cell(entry.records, tested(entry.records), metric),
            *([_score(tested_per_query(entry.records), metric)] if alone else []),
            *(_stated_cells(entry.system.stated, tested(entry.records)) if is_stated else []),
        ]
        for entry in entries
    ]
    return Table(columns=["system", f"{what} ± 95 % CI", *alone, *stated], rows=rows)


def cost_table(entries: Sequence[Entry]) -> Table:
    """How long every system trained, and what an update took."""
    rows = [
        [
            entry.label,
            "\n".join(dict.fromkeys(updates_words(record) for record in entry.records)) or NOT_YET,
            _time_cell(entry.records),
            "\n".join(dict.fromkeys(f"{_plural(record.threads, 'thread')}" for record in entry.records)) or NOT_YET,
            ", ".join(duration(record.seconds) for record in entry.records) or NOT_YET,
        ]
        for entry in entries
    ]
    return Table(columns=["system", "outer updates", "time an update", "on", "training time"], rows=rows)


def steadiness_table(entries: Sequence[Entry]) -> Table:
    """How fast training climbs and how much it oscillates; one figure a seed."""
    rows: list[list[str]] = []
    for entry in entries:
        trained = [record for record in entry.records if record.trained]
        spreads = [found for record in trained if (found := spread(record)) is not None]
        sampling = [f"{100 * found.sampling:.2f}" for found in spreads if found.sampling is not None]
        rows.append(
            [
                entry.label,
                ", ".join(_never(updates_to_level(record)) for record in trained) or NOT_YET,
                ", ".join(f"{100 * found.std:.2f}" for found in spreads) or NOT_YET,
                ", ".join(sampling) or NOT_YET,
            ]
        )
    columns = ["system", f"updates to {100 * LEVEL:.0f} %", "std over the last third, points", "sampling alone"]
    known = 4 if any(row[-1] != NOT_YET for row in rows) else 3
    return Table(columns=columns[:known], rows=[row[:known] for row in rows])


def paired_table(first: Entry, others: Sequence[Entry], metric: str) -> tuple[Table | None, list[str]]:
    """Every other system minus the first, task by task; and a sentence for each reason why there is no such test."""
    rows: list[list[str]] = []
    missing: dict[str, list[str]] = {}
    for other in others:
        outcome = paired_over_seeds(other.records, first.records)
        if isinstance(outcome, str):
            missing.setdefault(outcome, []).append(other.label)
        else:
            rows.append([f"{other.label} minus {first.label}", *paired_cells(outcome, metric)])
    told = [f"{', '.join(labels)} against {first.label}: {reason}." for reason, labels in missing.items()]
    return (Table(columns=["on the same tasks", *PAIRED_COLUMNS], rows=rows) if rows else None), told


PAIRED_COLUMNS = ["mean difference ± 95 % CI", "two-sided p", "tasks won, lost, tied"]


def paired_cells(outcome: Paired, metric: str) -> list[str]:
    """The cells of PAIRED_COLUMNS."""
    percent = metric == "accuracy"
    mean = f"{_signed(100 * outcome.mean, 2)} ± {100 * outcome.ci95:.2f} points" if percent else ""
    ties = outcome.tasks - outcome.first_wins - outcome.second_wins
    return [
        mean or f"{_signed(outcome.mean, 4)} ± {outcome.ci95:.4f}",
        "< 0.0001" if outcome.p < 1e-4 else f"{outcome.p:.4f}",
        f"{outcome.first_wins}, {outcome.second_wins}, {ties}",
    ]


def runs_table(entries: Sequence[Entry]) -> Table:
    """Every run by its folder."""
    rows = [
        [
            record.folder.name,
            str(record.seed),
            record.result["line"] if record.result else "not tested yet",
            str(record.header["versions"].get("commit") or "unknown"),
        ]
        for entry in entries
        for record in entry.records
    ]
    return Table(columns=["folder", "seed", "result", "commit"], rows=rows)


def updates_words(record: Record) -> str:
    """`800`, or `cut at 560 of 800`; with what the recipe of the run changes of the one it is named after."""
    changed = overrides(record.recipe)
    options = (
        "another recipe of that name" if changed is None else " ".join(word for group in changed for word in group)
    )
    note = f" ({options})" if options else ""
    if record.updates >= record.planned:
        return f"{record.updates}{note}"
    return f"cut at {record.updates} of {record.planned}{note}"


def score_words(score: OverSeeds | None, metric: str) -> str:
    """`95.34 ± 0.58 %`, or `1.9524 ± 0.1424`."""
    return _score(score, metric)


def _score(score: OverSeeds | None, metric: str) -> str:
    if score is None:
        return NOT_YET
    if metric == "accuracy":
        return f"{100 * score.mean:.2f} ± {100 * score.ci95:.2f} %"
    return f"{score.mean:.4f} ± {score.ci95:.4f}"


def _score_cell(records: Sequence[Record], score: OverSeeds | None, metric: str) -> str:
    if score is None:
        return "not tested yet" if records else "no run yet"
    steps = next(record.result["steps"] for record in records if record.result)
    after = _plural(steps, "inner step")
    if score.std is None:
        seeds = "one seed: CI over tasks"
    else:
        std = f"{100 * score.std:.2f} points" if metric == "accuracy" else f"{score.std:.4f}"
        seeds = f"mean of {score.seeds} seeds, std over seeds {std}"
    cut = [record for record in records if record.updates < record.planned]
    stopped = "\n" + "; ".join(dict.fromkeys(updates_words(record) for record in cut)) if cut else ""
    return f"{_score(score, metric)}\n{seeds}, {after}{stopped}"


def _stated_cells(stated: Stated | None, ours: OverSeeds | None) -> list[str]:
    if stated is None:
        return ["none stated", NOT_YET]
    cell = f"{100 * stated.value:.1f} ± {100 * stated.half_width:.1f} %\n{stated.right} of {stated.of}"
    cell += f"; {stated.also}" if stated.also else ""
    if ours is None:
        return [cell, NOT_YET]
    error = (ours.ci95**2 + stated.half_width**2) ** 0.5
    difference = ours.mean - stated.value
    agrees = "within the interval" if abs(difference) <= error else "outside the interval"
    return [cell, f"{_signed(100 * difference, 1)} ± {100 * error:.1f} points\n{agrees}"]


def _time_cell(records: Sequence[Record]) -> str:
    times = [seconds for record in records if (seconds := seconds_per_update(record)) is not None]
    return in_seconds(sum(times) / len(times)) if times else NOT_YET


def _never(update: int | None) -> str:
    return "never" if update is None else str(update)


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
