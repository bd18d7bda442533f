"""The sales of shops as this example draws them, and what predicts them without meta-learning."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

Values = np.ndarray

SHOPS, WEEKS = 400, 52
REGIONS = {"north": 45.0, "south": 60.0, "west": 52.0}  # mean sales, in thousands, as all that follows
MEAN = np.array([0.0, 4.0, 6.0, -3.0])  # over shops, of: level beside the region's, trend, cosine, sine of the year
SPREAD = np.array([8.0, 4.0, 7.0, 7.0])  # standard deviations over shops of the same
NOISE = 2.0  # standard deviation of a week


class Weeks(NamedTuple):
    """Some weeks of one shop; `sales` in thousands."""

    region: str
    week: Values
    sales: Values


def shapes(week: Values) -> Values:
    """What sales are made of, week by week: level, trend, cosine and sine of the year. `[N, 4]`"""
    year = week / 52
    return np.stack([np.ones_like(year), year - 0.5, np.cos(2 * np.pi * year), np.sin(2 * np.pi * year)], -1)


def write_table(path: Path) -> None:
    """Draw the shops from a seed and write a line for every week of each."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["shop", "region", "week", "sales"])
        for shop in range(SHOPS):
            region, week = rng.choice(list(REGIONS)), np.arange(WEEKS)
            sales = REGIONS[region] + shapes(week) @ rng.normal(MEAN, SPREAD) + rng.normal(0, NOISE, WEEKS)
            table.writerows([f"shop {shop:03d}", region, w, f"{s:.2f}"] for w, s in zip(week, sales, strict=True))


def average_shop(support: Weeks, query: Weeks) -> Values:
    """What the region's shops sell on average in these weeks: the best that ignores what this shop sold."""
    return REGIONS[query.region] + shapes(query.week) @ MEAN


def mean_of_support(support: Weeks, query: Weeks) -> Values:
    """What the shop sold on average."""
    return np.full(len(query.week), support.sales.mean())


def line(ridge: float) -> Callable[[Weeks, Weeks], Values]:
    """A line through what the shop sold, its slope held back by `ridge`."""

    def predict(support: Weeks, query: Weeks) -> Values:
        week = support.week - support.week.mean()
        slope = week @ support.sales / (week @ week + ridge)
        return support.sales.mean() + slope * (query.week - support.week.mean())

    return predict


def best(support: Weeks, query: Weeks) -> Values:
    """What the distribution itself makes the best prediction, E[sales | support]: no method errs less on average."""
    known, spread = shapes(support.week), np.diag(SPREAD**2)
    covariance = known @ spread @ known.T + NOISE**2 * np.eye(len(known))
    surprise = support.sales - REGIONS[support.region] - known @ MEAN
    weights = MEAN + spread @ known.T @ np.linalg.solve(covariance, surprise)
    return REGIONS[query.region] + shapes(query.week) @ weights
