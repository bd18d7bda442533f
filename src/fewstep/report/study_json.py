"""A study in plain values, for programs."""

from collections.abc import Sequence
from typing import Any

from fewstep.comparison import Paired
from fewstep.record import Record
from fewstep.report.claims import judged, sentence
from fewstep.report.measures import (
    paired_over_seeds,
    seconds_per_update,
    spread,
    tested,
    tested_per_query,
    updates_to_level,
)
from fewstep.report.study_tables import Entry
from fewstep.study import Study
from fewstep.versions import versions

Values = dict[str, Any]


def summary(study: Study, entries: Sequence[Entry], errors: dict[str, str]) -> Values:
    """Everything that the page of a study says in numbers; accuracies in [0, 1]."""
    runs = {entry.system.recipe: entry.records for entry in entries}
    verdicts = [(claim, judged(claim, runs[claim.larger], runs[claim.smaller])) for claim in study.claims]
    return {
        "study": study.name,
        "systems": [_system(entry, entries) for entry in entries],
        "claims": [
            {"claim": claim.text, **(verdict._asdict() if verdict else {}), "words": sentence(claim, verdict, study)}
            for claim, verdict in verdicts
        ],
        "errors": errors,
        "versions": versions(),
    }


def _system(entry: Entry, entries: Sequence[Entry]) -> Values:
    stated, score, alone = entry.system.stated, tested(entry.records), tested_per_query(entry.records)
    first = next((other for other in entries if other.records and other.metric == entry.metric), entry)
    outcome = paired_over_seeds(entry.records, first.records) if first is not entry else None
    return {
        "recipe": entry.system.recipe,
        "label": entry.label,
        "stated": stated and {**stated._asdict(), "value": stated.value, "half_width": stated.half_width},
        "score": score and score._asdict(),
        "per_query": alone and alone._asdict(),
        "minus_first": {"of": first.system.recipe, **outcome._asdict()} if isinstance(outcome, Paired) else outcome,
        "runs": [_run(record) for record in entry.records],
    }


def _run(record: Record) -> Values:
    found = spread(record) if record.metric == "accuracy" else None
    result = record.result or {}
    return {
        "folder": record.folder.name,
        "seed": record.seed,
        "updates": record.updates,
        "planned": record.planned,
        "status": result.get("status"),
        "line": result.get("line"),
        "metric": record.metric,
        "at_step": result.get("at_step"),
        "per_query": result.get("per_query"),
        "training_seconds": record.seconds,
        "seconds_per_update": seconds_per_update(record),
        "threads": record.threads,
        "updates_to_level": updates_to_level(record) if record.metric == "accuracy" else None,
        "spread_of_last_third": found and found._asdict(),
    }
