"""Claims made elsewhere, held against our runs, in a sentence each."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from fewstep.record import Record
from fewstep.report.measures import LEVEL, WINDOW, Spread, spread, updates_to_level
from fewstep.study import Claim, Study


class Verdict(NamedTuple):
    """What our runs say of a claim: True, False, or None where they do not tell; and what that rests on."""

    supported: bool | None
    seeds: list[int]
    larger: list[float | None]
    smaller: list[float | None]
    """the measure for every seed of the two systems; None where there is none"""
    until: int
    """updates looked at"""
    by_sampling: list[tuple[float, float]]
    """of a spread: what the few predictions of an update cause by themselves, in either system, where that is known"""


def judged(claim: Claim, larger: Sequence[Record], smaller: Sequence[Record]) -> Verdict | None:
    """Seed by seed, over as many updates as both did; every seed must agree. None where no seed has both."""
    others = {record.seed: record for record in smaller if record.trained}
    both = [(record, others[record.seed]) for record in larger if record.trained and record.seed in others]
    if not both:
        return None
    until = min(record.updates for pair in both for record in pair)
    if claim.measure == "spread":
        spreads = [(spread(a, until), spread(b, until)) for a, b in both]
        votes = [_oscillates_more(a, b) for a, b in spreads]
        values = [(a and a.std, b and b.std) for a, b in spreads]
        found = [(a.sampling, b.sampling) for a, b in spreads if a and b]
        by_sampling = [(first, second) for first, second in found if first is not None and second is not None]
    else:
        by_sampling = []
        values = [(_reached(a, until), _reached(b, until)) for a, b in both]
        votes = [_came_later(a, b) for a, b in values]
    supported = votes[0] if len(set(votes)) == 1 else None
    seeds, first, second = [a.seed for a, _ in both], [a for a, _ in values], [b for _, b in values]
    return Verdict(supported, seeds, first, second, until, by_sampling)


def sentence(claim: Claim, verdict: Verdict | None, study: Study) -> str:
    """Whether our measurement supports the claim, and the numbers that it rests on."""
    larger, smaller = study.system(claim.larger).label, study.system(claim.smaller).label
    if verdict is None:
        return f"“{claim.text}”: not measured yet; it takes a run of {larger} and one of {smaller} with the same seed."
    ruling = {
        True: "our measurement supports this",
        False: "our measurement does not support this: it says the contrary",
        None: "our measurement does not tell",
    }[verdict.supported]
    seeds = f"seed {verdict.seeds[0]}" if len(verdict.seeds) == 1 else f"seeds {_listed(map(str, verdict.seeds))}"
    if claim.measure == "spread":
        first, second = (_listed(map(_points, values)) for values in (verdict.larger, verdict.smaller))
        rest = (
            f"over the last third of the first {verdict.until} updates the standard deviation of the training accuracy "
            f"is {first} for {larger} and {second} for {smaller}"
        )
        if verdict.by_sampling:
            alone = [_listed(map(_points, values)) for values in zip(*verdict.by_sampling, strict=True)]
            rest += f" (the few predictions of an update alone cause {alone[0]} and {alone[1]})"
        close = "; a difference that small can be chance" if verdict.supported is None else ""
    else:
        first, second = (_listed(map(_update, values)) for values in (verdict.larger, verdict.smaller))
        rest = (
            f"the mean training accuracy of {WINDOW} updates first reaches {100 * LEVEL:.0f} % {first} for {larger} "
            f"and {second} for {smaller}, of {verdict.until} updates that both did"
        )
        close = ""
    return f"“{claim.text}”: {ruling}. With {seeds}, {rest}{close}."


def _reached(record: Record, until: int) -> float | None:
    update = updates_to_level(record)
    return None if update is None or update > until else float(update)


def _came_later(first: float | None, second: float | None) -> bool | None:
    """Whether the first came later; one that never came is the later."""
    if first == second:
        return None
    return first is None or (second is not None and first > second)


def _oscillates_more(first: Spread | None, second: Spread | None) -> bool | None:
    """Whether the first is larger, by more than chance would have it.

    The standard deviation of n independent values is known to 1 / √(2 (n − 1)) of itself.
    """
    if first is None or second is None or not first.std or not second.std:
        return None
    error = (1 / (2 * (first.logged - 1)) + 1 / (2 * (second.logged - 1))) ** 0.5
    log_ratio = math.log(first.std / second.std)
    return None if abs(log_ratio) < 1.96 * error else log_ratio > 0


def _listed(words: "Sequence[str] | map[str]") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _points(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.2f} points"


def _update(value: float | None) -> str:
    return "never" if value is None else f"at update {value:.0f}"
