"""Examples in any order, put class by class (or group by group) and split by split."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from fewstep.tasks.splits import Shares, split_at_random

SPLITS = ("train", "val", "test")


class Arranged(NamedTuple):
    """`order: [N]`, the examples' rows with those of a part together, and the parts of each split."""

    order: list[int]
    parts: Shares[Any]


def at_random(keys: Sequence[Hashable], held_out: tuple[float, float], seed: int) -> list[str]:
    """The split of every row: the shares `held_out` of the different keys are val and test, chosen by `seed`."""
    shares = split_at_random(_in_order(keys), held_out, seed)
    home = {key: name for name, of in shares._asdict().items() for key in of}
    return [home[key] for key in keys]


def arrange(keys: Sequence[Hashable], split: Sequence[str], part: Callable[[Hashable, int, int], Any]) -> Arranged:
    """Parts `part(key, start, size)` of the rows with the same key, in the splits that `split: [N]` says.

    A key whose rows are in two splits makes a part in each.

    Raises `ValueError` for a split of another name.
    """
    if unknown := {str(name) for name in split} - {*SPLITS}:
        raise ValueError(f"split has {', '.join(map(repr, sorted(unknown)))}: expected {', '.join(SPLITS)}")
    rows: dict[tuple[str, Hashable], list[int]] = {}
    for row, at in enumerate(zip(split, keys, strict=True)):
        rows.setdefault(at, []).append(row)
    order: list[int] = []
    parts: dict[str, list[Any]] = {name: [] for name in SPLITS}
    for name in SPLITS:
        for key in _in_order(keys):
            if found := rows.get((name, key)):
                parts[name].append(part(key, len(order), len(found)))
                order += found
    return Arranged(order, Shares(**parts))


def _in_order(keys: Sequence[Hashable]) -> list[Hashable]:
    """The different keys, numbers by their value and before names."""
    return sorted(set(keys), key=_by_number_then_name)


def _by_number_then_name(key: Hashable) -> tuple[bool, float, str]:
    is_number = isinstance(key, int | float)
    return not is_number, float(key) if isinstance(key, int | float) else 0.0, str(key)
