"""Forecasts for shops that opened a few weeks ago: MAML on a table, beside what needs no meta-learning.

    python shops.py [output folder] [--updates N] [--tasks N]

Writes shops.csv (region, week and sales of 400 shops over a year, drawn from a seed), meta-trains on three fifths
of the shops, and of shops that it never saw forecasts twelve weeks from the eight before. Writes result.json.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sales import Values, Weeks, average_shop, best, line, mean_of_support, write_table

import fewstep
from fewstep.tasks.columns import Encoding
from fewstep.tasks.splits import Tasks

SHOTS, QUERIES = 8, 12
Predict = Callable[[Weeks, Weeks], Values]


def weeks_of(examples: fewstep.Examples, encoding: Encoding) -> Weeks:
    """Encoded rows as the table has them."""
    region, week = encoding.inputs
    where = region.texts[int(examples.x[0, :-1].argmax())]
    sales = encoding.values(examples.y)[:, 0]
    return Weeks(where, examples.x[:, -1].double().numpy() * week.std + week.mean, sales.double().numpy())


def errors(predict: Predict, tasks: Tasks, encoding: Encoding, count: int, stream: str = "test") -> list[float]:
    """Mean squared error and half of its 95 % interval, on the tasks that `fewstep.evaluate` draws."""
    found = []
    for block in range(-(-count // 100)):
        batch = tasks.sample(0, stream, block, min(100, count - 100 * block))
        for task in map(batch.select, range(len(batch.query.y))):
            support, query = (weeks_of(part, encoding) for part in task)
            found.append(np.mean((predict(support, query) - query.sales) ** 2))
    return [float(np.mean(found)), float(1.96 * np.std(found, ddof=1) / len(found) ** 0.5)]


def main() -> None:
    """Draw, train, test, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/shops"))
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--tasks", type=int, default=1000)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_table(arguments.out / "shops.csv")

    data = fewstep.from_csv(arguments.out / "shops.csv", target="sales", task="shop")
    tasks = data.tasks(shots=SHOTS, queries=QUERIES, order="given")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = fewstep.MLP(hidden=(40, 40), activation="tanh").build(tasks.train.inputs, outputs=1)
    algorithm = fewstep.MAML(inner_lr=0.1, inner_steps=5, learn_inner_lr=True)
    training = fewstep.Training(
        updates=arguments.updates, meta_batch=25, lr=3e-3, schedule="cosine", validate_every=300
    )
    run = fewstep.train(net, algorithm, tasks, training=training, loss="mean_squared_error")
    result = fewstep.evaluate(run, tasks.test, count=arguments.tasks, steps=10)

    ridge = min((10.0**i for i in range(7)), key=lambda at: errors(line(at), tasks.val, data.encoding, 200, "val")[0])
    average = data.encoding.targets[0].mean
    others: dict[str, Predict] = {
        "mean of the training shops": lambda support, query: np.full(len(query.week), average),
        "best that ignores the eight weeks": average_shop,
        "mean of the eight weeks": mean_of_support,
        "linear regression on the eight weeks": line(0.0),
        "ridge regression on the eight weeks": line(ridge),
        "best possible": best,
    }
    mse = {name: errors(predict, tasks.test, data.encoding, arguments.tasks) for name, predict in others.items()}
    scale = data.encoding.targets[0].std ** 2  # from the net's units into the table's
    mse |= {f"MAML, step {i}": [scale * mean, scale * ci95] for i, (mean, ci95) in enumerate(result.at_step)}
    for name, (mean, ci95) in mse.items():
        sys.stdout.write(f"{name:38} {mean:7.2f} ± {ci95:.2f}\n")
    record = {
        "updates": run.update,
        "seconds": round(run.seconds, 1),
        "tasks": result.tasks,
        "ridge": ridge,
        "mse": mse,
    }
    (arguments.out / "result.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
