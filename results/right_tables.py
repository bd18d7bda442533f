"""The tables of `docs/right.md`, from the records alone."""

import json
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

from right_derived import CHOSEN_ON, SIZES, chosen, difference, varied
from right_store import Row, rows

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "right.md"
TABLE = re.compile(r"(?<=<!-- measured: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
FAST = "omniglot-5w1s-fast"
TOGETHER = (
    "omniglot-5w1s-best",
    FAST,
    "course-5w1s-maml",
    "course-5w1s-doa",
    "course-5w1s-mamlpp-transductive",
    "course-5w1s-reptile",
)
"""Recorded runs of transductive learners."""
COMPARED = ("course-5w1s-doa", "course-5w1s-mamlpp-transductive")


def fill(page: str) -> str:
    """The page with every table as recorded."""
    return TABLE.sub(lambda found: f"{found[1]}{found[2]}{TABLES[found[1]]()}\n", page)


def table(header: str, body: Iterable[Iterable[object]]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in body]
    rule = "|" + "---|" * (header.count("|") - 1)
    return "\n".join([header, rule, *lines])


def percent(pair: list[float]) -> str:
    """`97.82 ± 0.43 %`."""
    return f"{pair[0]:.2f} ± {pair[1]:.2f} %"


def result(name: str) -> Row:
    """What a recorded run was tested with."""
    found: Row = json.loads((HERE / name / "result.json").read_text())
    return found


def summary() -> str:
    """The largest effects, one line a topic."""
    least, unseen = varied(SIZES[0]), base()
    seen, one_class = rows("splits")[f"{FAST} train"], rows("norm")["5 of one class"]
    together = [pair[0] for pair in (unseen["accuracy"], unseen["each_with_support"], one_class["accuracy"])]
    rates = [
        100 * result("course-5w1s-maml")["at_step"][-1][0],
        rows("ported")["course-5w1s-maml at 2.0"]["accuracy"][0],
    ]
    turned = _averages("turns", "trained {0}, tested turned", "turned", "upright")
    body = [
        ("loss reduction", "0.4 on the mean in training; in the test on the mean / on the sum", _each(rates)),
        ("splits", "tested on new characters / on those of the training", _each([together[0], seen["accuracy"][0]])),
        ("rotations", "a short training with turned characters / without", _each(turned)),
        (
            "batch norm",
            "queries of all classes together / each with the support set / five of one class",
            _each(together),
        ),
        ("evaluation noise", "one checkpoint, tests of 20 tasks", f"{least.lowest:.2f} to {least.highest:.2f}"),
    ]
    return table("| left out | the same, but for | accuracy, % |", body)


def _each(means: Iterable[float]) -> str:
    return " / ".join(f"{mean:.2f}" for mean in means)


def _averages(topic: str, name: str, *kinds: str) -> list[float]:
    """The means over the seeds."""
    return [statistics.mean(_means(topic, name.format(kind))) for kind in kinds]


def loss() -> str:
    """Each rate where it was trained and where it was not."""
    cells = {(a, b): _cells("loss", f"trained on {a}, tested on {b}") for a in ("sum", "mean") for b in ("sum", "mean")}
    names = {"sum": "sum: 2.0 on the mean", "mean": "mean: 0.4 on the mean"}
    body = [(names[a], names[b], *found) for (a, b), found in cells.items()]
    return table(_header("loss", "trained with 0.4 on the", "tested with 0.4 on the"), body)


def ported() -> str:
    """Two recorded learners at two rates."""
    found = {name: percent(row["accuracy"]) for name, row in rows("ported").items()}
    mean, ci95 = result("course-5w1s-maml")["at_step"][-1]
    body = [
        (
            "`omniglot-5w1s-maml`: on the sum",
            found["runs/omniglot-5w1s-maml at 2.0"],
            found["runs/omniglot-5w1s-maml at 0.4"],
        ),
        ("`course-5w1s-maml`: on the mean", found["course-5w1s-maml at 2.0"], percent([100 * mean, 100 * ci95])),
    ]
    return table("| trained with 0.4 | tested with 0.4 on the sum | tested with 0.4 on the mean |", body)


def turns() -> str:
    """Trained on turned characters or upright ones."""
    names = {"turned": "four turns as classes", "upright": "upright only"}
    kinds = [(a, b) for a in names for b in names]
    body = [(names[a], names[b], *_cells("turns", f"trained {a}, tested {b}")) for a, b in kinds]
    return table(_header("turns", "trained on", "tested on"), body)


def _header(topic: str, *names: str) -> str:
    return f"| {' | '.join([*names, *(f'seed {seed}' for seed in _seeds(topic))])} |"


def _cells(topic: str, name: str) -> list[str]:
    return [percent(rows(topic)[f"{name}, seed {seed}"]["accuracy"]) for seed in _seeds(topic)]


def _means(topic: str, name: str) -> list[float]:
    return [rows(topic)[f"{name}, seed {seed}"]["accuracy"][0] for seed in _seeds(topic)]


def _seeds(topic: str) -> list[int]:
    """The training seeds that are recorded."""
    return sorted({row["training_seed"] for row in rows(topic).values()})


def base() -> Row:
    """`omniglot-5w1s-fast` on its own test tasks: what its other tests are held against."""
    return rows("noise")["seed 0"]


def splits() -> str:
    """Two learners on characters that trained them, and on others."""
    found = {**rows("splits"), "base": base()}
    told = {
        "base": (f"`{FAST}`", "`vinyals` test: 423 characters", "0 %"),
        f"{FAST} lake": (f"`{FAST}`", "`lake` test: 659 characters", ""),
        f"{FAST} finn": (f"`{FAST}`", "`finn` test: 423 characters", ""),
        f"{FAST} train": (f"`{FAST}`", "its own training characters", "100 %"),
        "omniglot-protonet test": ("`omniglot-protonet`", "`vinyals` test: 423 characters", "0 %"),
        "omniglot-protonet train": ("`omniglot-protonet`", "its own training characters", "100 %"),
    }
    body = [
        (*words[:2], words[2] or f"{found[name]['percent_trained_on']} %", percent(found[name]["accuracy"]))
        for name, words in told.items()
    ]
    return table("| learner | tested on | of which it was trained on | accuracy |", body)


def rotations() -> str:
    """One learner on turned characters."""
    told = {
        "base": "four turns as classes: 1692 classes",
        "upright": "upright: 423 classes",
        "random": "every class of a task turned at random",
    }
    found = {**rows("rotations"), "base": base()}
    return table("| test characters | accuracy |", [(told[name], percent(found[name]["accuracy"])) for name in told])


def norm() -> str:
    """One learner, its queries in different company."""
    told = {
        "base": ("`transductive`", "5: one of each class"),
        "5 a class": ("`transductive`", "25: five of each class"),
        "15 a class": ("`transductive`", "75: fifteen of each class"),
        "5 of one class": ("`transductive`", "5: all of one class"),
        "1 of one class": ("`transductive`", "1: nothing else in the batch"),
        "1 a class, support": ("`support`", "any number: 5 were"),
        "15 a class, support": ("`support`", "any number: 75 were"),
        "5 of one class, support": ("`support`", "any number: 5 of one class were"),
    }
    found = {**rows("norm"), "base": base()}
    body = [(*words, percent(found[name]["accuracy"])) for name, words in told.items()]
    alone = ("per query", "1, with the support set in the batch", percent(found["base"]["each_with_support"]))
    body.insert(5, alone)
    return table("| statistics of the queries | forwarded together | accuracy |", body)


def together() -> str:
    """Recorded runs with their queries together, and each with the support set alone."""
    kinds = [(f"`{name}`", result(name)) for name in TOGETHER]
    return table(
        "| run | five queries together | each query with the support set |",
        [
            (name, *(percent([100 * value for value in pair]) for pair in (found["at_step"][-1], found["per_query"])))
            for name, found in kinds
        ],
    )


def noise() -> str:
    """Tests that differ in their tasks alone."""
    body = [
        (
            one.tasks,
            one.tests,
            f"{one.lowest:.2f} to {one.highest:.2f} %",
            f"{one.std:.2f}",
            f"± {one.half_width:.2f}",
            f"{one.covered} of {one.tests}",
            one.without_width,
        )
        for one in map(varied, SIZES)
    ]
    return table(
        "| tasks a test | tests | lowest to highest figure | standard deviation of the figures "
        "| interval that a test reports, median | intervals that hold the mean of all | intervals of ± 0.00 |",
        body,
    )


def selection() -> str:
    """The best of ten checkpoints on the test itself."""
    body = [
        (one.tasks, f"{one.there:.2f} %", f"{one.elsewhere:.2f} %", f"{one.there - one.elsewhere:+.2f}")
        for one in map(chosen, CHOSEN_ON)
    ]
    return table(
        "| test tasks chosen on | the best's figure there | the same one on the other tasks | gained by choosing |",
        body,
    )


def paired() -> str:
    """One difference, and two intervals for it."""
    found = difference(*COMPARED)
    return table(
        "| | difference, points |",
        [
            ("two tests, as if of other tasks", f"{found.mean:+.2f} ± {found.unpaired:.2f}"),
            ("the same tasks, by pairs", f"{found.mean:+.2f} ± {found.paired:.2f}"),
        ],
    )


TABLES: dict[str, Callable[[], str]] = {
    "summary": summary,
    "loss": loss,
    "ported": ported,
    "splits": splits,
    "rotations": rotations,
    "turns": turns,
    "norm": norm,
    "together": together,
    "noise": noise,
    "selection": selection,
    "paired": paired,
}
