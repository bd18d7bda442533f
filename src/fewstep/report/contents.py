"""What the page says of a run, in words and numbers."""

from collections.abc import Sequence
from typing import NamedTuple

from fewstep.experiment import Experiment
from fewstep.journal import Row, best_update
from fewstep.nets.norm import has_batch_norm
from fewstep.result_file import Result


class StepScore(NamedTuple):
    """A row of the table of inner steps; `share` of the bar's width in [0, 1]."""

    step: int
    text: str
    share: float


def plain(value: object) -> str:
    """A value as a reader writes it: `train: 3200, val: 656` of a dict, `40, 40` of a list, `yes` of True."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)


def result_lines(result: Result | None) -> list[tuple[str, str]]:
    """The value and the conditions of each result line; the per-query one only where it differs in meaning."""
    if result is None:
        return []
    lines = [result["line"]] + ([result["per_query_line"]] if result["transductive"] else [])
    return [(value, f"({conditions}") for value, _, conditions in (line.partition(" (") for line in lines)]


def step_scores(result: Result | None) -> list[StepScore]:
    """The table of inner steps; bars of accuracy are of 100 %, bars of an error of the largest one."""
    if result is None:
        return []
    percent = result["metric"] == "accuracy"
    full = 1.0 if percent else max(mean for mean, _ in result["at_step"]) or 1.0
    texts = [f"{100 * m:.2f} ± {100 * ci:.2f} %" if percent else f"{m:.4f} ± {ci:.4f}" for m, ci in result["at_step"]]
    return [
        StepScore(step, text, mean / full)
        for step, (text, (mean, _)) in enumerate(zip(texts, result["at_step"], strict=True))
    ]


def status(planned: int, result: Result | None, updates: int) -> str:
    """A sentence for whoever must not take this for a finished run; empty for one that is."""
    if result is None:
        return f"This run is unfinished: {updates} of {planned} updates, not tested yet."
    if updates > result["updates"]:
        return f"Tested after update {result['updates']}; training has gone on since, to {updates} of {planned}."
    if result["status"] != "finished":
        return f"Training stopped early ({result['status']}) after {updates} of {planned} updates; tested as it was."
    return ""


def facts(experiment: Experiment, result: Result | None, rows: Sequence[Row], updates: int) -> dict[str, object]:
    """The run in a few numbers."""
    is_classifier = experiment.built.learner.model.is_classifier
    trained = [row for row in rows if row["kind"] == "train"]
    seconds = result["training_seconds"] if result else trained[-1]["elapsed"] if trained else 0.0
    chosen = result["selected_update"] if result else best_update(list(rows), is_classifier)
    ranks = f"{experiment.begun_with} processes of " if experiment.begun_with > 1 else ""
    norm = {"norm policy": experiment.recipe.norm} if has_batch_norm(experiment.built.learner.model.net) else {}
    return {
        "outer updates": f"{updates} of {experiment.recipe.training.updates}",
        "chosen by validation": "none yet" if chosen is None else f"update {chosen}",
        "training time": duration(seconds),
        "seed": experiment.seed,
        "device": experiment.device,
        "mapping": f"{ranks}{experiment.mapping}",
        **norm,
    }


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s` or `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def data_tables(summary: dict[str, object]) -> dict[str, object]:
    """A table for train and test tasks each, one for both where they are alike."""
    if summary.get("train") == summary.get("test") and "train" in summary:
        return {"train and test tasks": summary["train"]}
    return {f"{split} tasks": value for split, value in summary.items()}
