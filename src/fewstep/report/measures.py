"""What a page reads off runs: scores over seeds, how steeply training climbs and how much it oscillates."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fewstep.comparison import Paired, paired, scores_by_task, why_not_comparable
from fewstep.record import Record

LEVEL = 0.8
WINDOW = 20


class OverSeeds(NamedTuple):
    """The test of a system: the mean over `seeds`, the half width of its 95 % CI over tasks, the std over seeds.

    Of several seeds the CI is that of the mean over the tasks of their averaged scores; of results that lack the
    scores of every task, the mean of the CIs, which is no smaller. `std` is None for one seed.
    """

    mean: float
    ci95: float
    std: float | None
    seeds: int


def tested(records: Sequence[Record]) -> OverSeeds | None:
    """The score after the last step, together over seeds; None where nothing was tested."""
    return _over_seeds([record.result["at_step"][-1] for record in records if record.result], mean_by_task(records))


def tested_per_query(records: Sequence[Record]) -> OverSeeds | None:
    """The same with each query forwarded alone."""
    return _over_seeds([record.result["per_query"] for record in records if record.result], None)


def at_steps(records: Sequence[Record]) -> list[OverSeeds]:
    """The score after 0, 1, ... inner steps, as many as every tested run has."""
    tables = [record.result["at_step"] for record in records if record.result]
    found = [_over_seeds([table[i] for table in tables], None) for i in range(min(map(len, tables), default=0))]
    return [score for score in found if score is not None]


def mean_by_task(records: Sequence[Record]) -> list[float] | None:
    """The score of every test task, the mean over seeds; None where a run lacks them or has other test tasks."""
    stored = [scores_by_task(record) for record in records if record.result]
    tables = [table for table in stored if table is not None]
    if not tables or len(tables) < len(stored):
        return None
    if any(why_not_comparable(records[0], other) for other in records[1:]):
        return None
    means: list[float] = np.mean(tables, axis=0).tolist()
    return means


def paired_over_seeds(first: Sequence[Record], second: Sequence[Record]) -> Paired | str:
    """The paired test of two systems, each averaged over its seeds; or why there is none."""
    tested_first, tested_second = ([record for record in records if record.result] for records in (first, second))
    if not tested_first or not tested_second:
        return "not tested yet"
    if reason := why_not_comparable(tested_first[0], tested_second[0]):
        return f"other test tasks: {reason}"
    mine, theirs = mean_by_task(tested_first), mean_by_task(tested_second)
    if mine is None or theirs is None:
        return "a result.json without the scores of every task; `fewstep compare` measures them again"
    return paired(mine, theirs, higher_is_better=tested_first[0].metric == "accuracy")


def updates_to_level(record: Record, level: float = LEVEL, window: int = WINDOW) -> int | None:
    """The first update at which the mean training accuracy of the last `window` updates reaches `level`."""
    values = [row["accuracy"] for row in record.trained]
    for last in range(window, len(values) + 1):
        if statistics.fmean(values[last - window : last]) >= level:
            return int(record.trained[last - 1]["update"])
    return None


class Spread(NamedTuple):
    """The standard deviation of training accuracy over the last third of a run, `logged` updates.

    `sampling` is what independent predictions of that accuracy would show by themselves, where their number is known.
    """

    std: float
    sampling: float | None
    logged: int


def spread(record: Record, until: int | None = None) -> Spread | None:
    """The spread of the last third of a run, or of its first `until` updates; None where there are too few."""
    rows = [row for row in record.trained if until is None or row["update"] <= until]
    last = [row["accuracy"] for row in rows[len(rows) * 2 // 3 :]]
    if len(last) < 2:
        return None
    mean, queries = statistics.fmean(last), queries_of(record)
    predictions = None if queries is None else record.recipe.training.meta_batch * queries
    sampling = None if predictions is None else (mean * (1 - mean) / predictions) ** 0.5
    return Spread(statistics.stdev(last), sampling, len(last))


def queries_of(record: Record) -> int | None:
    """Queries of a training task; None where neither recipe nor data say."""
    tasks = record.recipe.train_tasks
    of_data = record.header["data"]["train"].get("queries, train and test", [None])
    each = next((n for n in (getattr(tasks, "queries", None), of_data[0]) if n is not None), None)
    return None if each is None else int(getattr(tasks, "ways", 1)) * int(each)


def seconds_per_update(record: Record) -> float | None:
    """The median: what else the machine did for a while does not count."""
    return statistics.median(row["seconds"] for row in record.trained) if record.trained else None


def _over_seeds(pairs: Sequence[Sequence[float]], tasks: list[float] | None) -> OverSeeds | None:
    if not pairs:
        return None
    means = [mean for mean, _ in pairs]
    ci95 = statistics.fmean(error for _, error in pairs)
    if tasks is not None and len(pairs) > 1:
        ci95 = 1.96 * statistics.stdev(tasks) / len(tasks) ** 0.5
    std = statistics.stdev(means) if len(means) > 1 else None
    return OverSeeds(statistics.fmean(means), ci95, std, len(means))
