"""The sections of a study's page."""

from collections.abc import Sequence
from pathlib import Path

from fewstep.report import together
from fewstep.report.claims import judged, sentence
from fewstep.report.document import Block, Code, Pictures, Section, Words
from fewstep.report.measures import LEVEL, WINDOW
from fewstep.report.picture import Picture
from fewstep.report.study_tables import Entry, cost_table, paired_table, scores_table, steadiness_table
from fewstep.report.together import Line
from fewstep.study import Study

STATED = (
    "The assignment's own figures carry the binomial interval of their 600 predictions. “Ours minus theirs” adds both "
    "intervals, as independent; “within” says that chance alone could explain the difference."
)
ALONE = (
    "The test accuracy lets batch norm see all queries of a task together, as MAML was published, except where a "
    "system keeps statistics of its own. “Each query alone” forwards every query with the support set only."
)


def classification(study: Study, entries: Sequence[Entry], figures: Path) -> list[Section]:
    """Scores, curves, claims, inner steps, differences and costs, of those systems that have runs."""
    if not entries:
        return []
    begun = [entry for entry in entries if entry.records]
    is_stated = any(entry.system.stated for entry in entries)
    remarks = [Words(f"{e.label}: {e.system.remark}", "hint") for e in entries if e.system.remark]
    explained = [Words(ALONE, "hint"), *([Words(STATED, "hint")] if is_stated else []), *remarks]
    sections = [Section(title="Test accuracy", blocks=[scores_table(entries, "accuracy"), *explained])]
    if not any(record.trained for entry in begun for record in entry.records):
        return sections
    sections.append(Section(title="Accuracy over outer updates", blocks=_climbs(study, begun, figures)))
    sections.append(Section(title="How steeply, how steadily", blocks=_steadiness(study, begun)))
    if any(record.result for entry in begun for record in entry.records):
        blocks: list[Block] = [Pictures(pictures=[_steps(begun, "accuracy", figures)])]
        sections.append(Section(title="Accuracy over inner steps", blocks=blocks))
    if len(entries) > 1:
        sections.append(Section(title="Differences on the same tasks", blocks=_paired(entries, "accuracy")))
    return [*sections, Section(title="What an update costs", blocks=_costs(begun, figures / "seconds.png"))]


def _climbs(study: Study, begun: Sequence[Entry], figures: Path) -> list[Block]:
    lines = _lines(begun)
    several = any(len(line.records) > 1 for line in lines)
    band = "from the lowest seed to the highest" if several else "of its 95 % CI"
    mixed = ", of a single run its 95 % CI" if several and any(len(line.records) == 1 for line in lines) else ""
    shown = [
        Picture(
            together.over_updates(lines, "accuracy", figures / "accuracy.png"),
            "Validation",
            f"Validation accuracy, the mean over seeds, in a band {band}{mixed}; the faint lines are the training "
            f"accuracy of the first seed, a mean of {WINDOW + 1} updates.",
            f"Query accuracy over outer updates of {', '.join(line.label for line in lines)}.",
        )
    ]
    chosen = [entry for entry in begun if entry.system.recipe in study.pair and entry.records[0].trained]
    pair = _lines(chosen)
    if len(pair) > 1:
        names = " and ".join(line.label for line in pair)
        shown.append(
            Picture(
                together.training_together(pair, figures / "pair.png"),
                names,
                f"{names} together, as the assignment plots them: training accuracy of the first seed, every update "
                f"and the mean of {WINDOW + 1}. Dotted: {100 * LEVEL:.0f} %.",
                f"Training accuracy over outer updates of {names}.",
            )
        )
    return [Pictures(pictures=[picture]) for picture in shown]


def _steadiness(study: Study, begun: Sequence[Entry]) -> list[Block]:
    runs = {entry.system.recipe: entry.records for entry in begun}
    sentences = [
        sentence(claim, judged(claim, runs.get(claim.larger, []), runs.get(claim.smaller, [])), study)
        for claim in study.claims
    ]
    words = (
        f"Updates to {100 * LEVEL:.0f} %: the first at which the mean training accuracy of the last {WINDOW} reaches "
        "it. Std: the standard deviation of the training accuracy of single updates over the last third of a run; "
        "where their number is known, what the few predictions of an update cause of it by themselves stands beside "
        "it. One figure a seed."
    )
    return [steadiness_table(begun), Words(words, "hint"), *map(Words, sentences)]


def _paired(entries: Sequence[Entry], metric: str) -> list[Block]:
    table, missing = paired_table(entries[0], entries[1:], metric)
    words = (
        "Systems tested on the same tasks are compared task by task, so that what makes a task hard for both cancels; "
        "of several seeds the mean of each task. p is two-sided, by the normal approximation."
    )
    return [*([table] if table else []), Words(words, "hint"), *(Words(text, "hint") for text in missing)]


def _costs(begun: Sequence[Entry], path: Path) -> list[Block]:
    lines = [line for line in _lines(begun) if line.records[0].trained]
    picture = Picture(
        together.time_bars(lines, path),
        "Time",
        "The median of all updates, the mean over seeds. Times compare where runs had as many threads and the machine "
        "did nothing else.",
        f"Bars: seconds an outer update of {', '.join(line.label for line in lines)}.",
    )
    return [Pictures(pictures=[picture]), cost_table(begun)]


def regression(entries: Sequence[Entry], figures: Path) -> list[Section]:
    """One section: errors, over inner steps, differences, pictures of adaptation, costs."""
    if not entries:
        return []
    begun = [entry for entry in entries if entry.records]
    blocks: list[Block] = [
        Words(
            "The same idea on curves: a task is a sinusoid of which a few points are shown; the score is the mean "
            "squared error (MSE) on other points of it, less is better."
        ),
        scores_table(entries, "mse"),
    ]
    if any(record.result for entry in begun for record in entry.records):
        blocks.append(Pictures(pictures=[_steps(begun, "mse", figures)]))
    blocks += _paired(entries, "mse") if len(entries) > 1 else []
    shown = [_adaptation(entry) for entry in (begun[:1] + begun[1:][-1:]) if _adaptation_path(entry).exists()]
    blocks += [Pictures(pictures=shown)] if shown else []
    if any(record.trained for entry in begun for record in entry.records):
        blocks += _costs(begun, figures / "seconds-mse.png")
    return [Section(title="Regression", blocks=blocks)]


def _adaptation_path(entry: Entry) -> Path:
    return entry.records[0].folder / "adaptation.png"


def _adaptation(entry: Entry) -> Picture:
    return Picture(
        _adaptation_path(entry),
        entry.label,
        f"{entry.label}: the curve after 0, 1, 5 and 10 inner steps on the first test tasks, the same for all systems.",
        "Curves fitted to four sinusoids from a few support points each, after more and more inner steps.",
    )


def _steps(begun: Sequence[Entry], metric: str, figures: Path) -> Picture:
    lines = [line for line in _lines(begun) if any(record.result for record in line.records)]
    name = "accuracy" if metric == "accuracy" else "mean squared error"
    return Picture(
        together.over_steps(lines, metric, figures / f"steps-{metric}.png"),
        "Inner steps",
        "The test score after every inner step, with its 95 % CI; each system is tested with steps of its own number.",
        f"Test {name} over inner steps of {', '.join(line.label for line in lines)}.",
    )


def code(entries: Sequence[Entry]) -> list[Section]:
    """Every system in pseudo-code, where there is any."""
    blocks = [
        Code(text=entry.system.pseudocode, title=entry.label, remark=entry.system.recipe)
        for entry in entries
        if entry.system.pseudocode
    ]
    words = Words("θ is where the net starts, φ where a task has taken it, L the mean cross-entropy.", "hint")
    return [Section(title="Each system in pseudo-code", blocks=[words, *blocks])] if blocks else []


def _lines(begun: Sequence[Entry]) -> list[Line]:
    return [Line(entry.label, entry.records, entry.place) for entry in begun]
