"""Inner learning rates of their own for groups of parameters, chosen by how their names start."""

from collections.abc import Iterable, Sequence

RateGroups = tuple[tuple[str, float], ...]
"""Pairs of a name's beginning and its rate: `(("head.", 0.1),)`; the longest beginning that fits decides."""


def rates_of(names: Iterable[str], inner_lr: float, groups: Sequence[tuple[str, float]] = ()) -> dict[str, float]:
    """The rate of every name: its group's, else `inner_lr`.

    Raises `ValueError` for a group that fits no name.
    """
    rates = dict.fromkeys(names, inner_lr)
    for beginning, rate in sorted(groups, key=lambda group: len(group[0])):
        fitting = [name for name in rates if name.startswith(beginning)]
        if not fitting:
            raise ValueError(f"inner_lr_of: no parameter's name starts with {beginning!r}; they are {', '.join(rates)}")
        rates.update(dict.fromkeys(fitting, rate))
    return rates
