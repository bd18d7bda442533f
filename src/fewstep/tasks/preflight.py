"""What is wrong with one's own data, all of it at once and counted, before training starts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, Protocol

MOST_NAMED = 10
"""How many of one kind are named; the others are counted."""


class Sized(Protocol):
    """A class, or the examples of one task, by its name and the number of its examples."""

    @property
    def name(self) -> str:
        """As the user calls it."""
        ...

    @property
    def size(self) -> int:
        """Examples."""
        ...


class Problem(NamedTuple):
    """Everything of one kind that is wrong: `items`, each a clause, and the way out, which may be empty."""

    items: list[str]
    way_out: str = ""


def check_numbers(ways: int, shots: int, queries: int) -> None:
    """Raise `ValueError` for numbers that no task can have."""
    if ways < 2 or min(shots, queries) < 1:
        raise ValueError(
            f"a task needs ways ≥ 2, shots ≥ 1 and queries ≥ 1, got ways={ways}, shots={shots}, queries={queries}"
        )


def check_split(split: str, classes: Sequence[Sized], *, ways: int, shots: int, queries: int, noun: str) -> None:
    """Raise `ValueError`, with everything that is wrong, where one split's classes do not make such tasks."""
    check_numbers(ways, shots, queries)
    splits = {split: classes}
    refuse([too_few(splits, ways), too_small(splits, shots=shots, queries=queries, noun=noun)])


def too_small(
    splits: Mapping[str, Sequence[Sized]], *, shots: int, queries: int, what: str = "class", noun: str = "image"
) -> Problem:
    """The classes (or other `what`) with fewer examples than `shots + queries`."""
    needed = f"{shots + queries} ({counted(shots, 'shot')} + {counted(queries, 'query')})"
    items = [
        f"{what} '{name}' of split '{split}' has {counted(size, noun)}, needs {needed}"
        for split, classes in splits.items()
        for name, size in dict.fromkeys((c.name, c.size) for c in classes)
        if size < shots + queries
    ]
    return Problem(items, f"lower tasks.shots or tasks.queries, or leave the {what} out")


def too_few(splits: Mapping[str, Sequence[Sized]], ways: int) -> Problem:
    """The splits with fewer classes than `ways`."""
    items = [
        f"ways={ways} but split '{split}' has {len(classes)} classes"
        for split, classes in splits.items()
        if len(classes) < ways
    ]
    return Problem(items, "lower tasks.ways")


def shared(splits: Mapping[str, Sequence[Sized]], what: str = "class") -> Problem:
    """The classes whose name is in two splits."""
    names = {split: {c.name: c.size for c in classes} for split, classes in splits.items()}
    items = [
        f"{what} '{name}' is in {a} ({names[a][name]}) and in {b} ({names[b][name]})"
        for a, b in combinations(names, 2)
        for name in names[a]
        if name in names[b]
    ]
    return Problem(items, "keep it in one of them, or, where they are not the same, give them different names")


def without_validation(val: Sequence[Sized], ways: int) -> str:
    """A note where a val split has classes, and too few of them to be used."""
    return f"no validation: split 'val' has {counted(len(val), 'class')}, ways={ways}" if 0 < len(val) < ways else ""


def refuse(problems: Iterable[Problem]) -> None:
    """Raise `ValueError` with everything that is wrong; nothing where all is well."""
    found = [problem for problem in problems if problem.items]
    count = sum(len(problem.items) for problem in found)
    if count == 1:
        raise ValueError("; ".join(part for part in (found[0].items[0], found[0].way_out) if part))
    if found:
        raise ValueError("\n".join([f"the data have {count} problems", *(_paragraph(problem) for problem in found)]))


def counted(number: int, noun: str) -> str:
    """`1 shot`, `5 queries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("ss") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _paragraph(problem: Problem) -> str:
    rest = len(problem.items) - MOST_NAMED
    lines = [f"- {item}" for item in problem.items[:MOST_NAMED]] + ([f"- and {rest} more of these"] if rest > 0 else [])
    return "\n".join(lines) + (f"\n  ({problem.way_out})" if problem.way_out else "")
