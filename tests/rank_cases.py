"""What several processes do together, for test_ranks: each case is a function of the ranks that share it.

Run as a program it goes through all of them as one rank, and saves what each returned.
"""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

import fewstep
from builders import InDouble, image_splits, smooth_net
from fewstep import cli, evaluation, run, torchrun
from fewstep.algorithm import Algorithm
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.reptile import Reptile
from fewstep.core import Meta, map_tensors
from fewstep.divergence import DivergedError
from fewstep.evaluation import Evaluation, Result, evaluate
from fewstep.inner.adam import Adam
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping
from fewstep.nets.norm import Norm
from fewstep.ranks import LostError, Ranks
from fewstep.run import Run, Watch, train_run
from fewstep.seeding import seeded
from fewstep.tasks.splits import Splits
from fewstep.torchrun import join
from fewstep.training import Training

TRAINING = Training(updates=4, meta_batch=4, lr=0.1, validate_every=2, validation_tasks=3)
PLUS_PLUS = MAMLPlusPlus(
    inner_lr=0.2, inner_steps=2, learn_inner_lr=True, multi_step_epochs=2, first_order_epochs=1, per_step_norm=True
)
REPTILE = Reptile(inner_lr=0.02, inner_steps=3, inner_batch=4, optimizer=Adam(beta1=0.5))
STROKES = [
    *["train", "strokes-5w1s-maml", "--updates", "6", "--threads", "1", "--chunk", "1", "--net.filters", "4"],
    *["--train-tasks.train-alphabets", "2", "--train-tasks.val-alphabets", "1", "--train-tasks.test-alphabets", "1"],
    *["--test-tasks.train-alphabets", "2", "--test-tasks.val-alphabets", "1", "--test-tasks.test-alphabets", "1"],
    *["--training.meta-batch", "3", "--training.validate-every", "3", "--training.validation-tasks", "4"],
    *["--training.checkpoint-every", "2", "--evaluation.tasks", "5", "--evaluation.steps", "1"],
]


def splits() -> Splits:
    found = image_splits(noise=60)
    return found._replace(**{name: InDouble(getattr(found, name)) for name in ("train", "val", "test")})


def trained(
    ranks: Ranks,
    algorithm: Algorithm,
    norm: Norm = "transductive",
    *,
    net: nn.Module | None = None,
    watch: Watch | None = None,
    **changes: Any,
) -> Run:
    return train_run(
        learner_of(net or smooth_net(), algorithm, norm=norm),
        splits(),
        dataclasses.replace(TRAINING, **changes),
        Evaluation(steps=2),
        seed=0,
        mapping=Mapping(),
        watch=watch,
        ranks=ranks,
    )


def net_with_dropout() -> nn.Module:
    with seeded(0, "net"):
        return nn.Sequential(nn.Flatten(), nn.Linear(25, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).double()


TRAINED: dict[str, Callable[[Ranks], Run]] = {
    "maml": lambda ranks: trained(ranks, MAML(inner_lr=0.4, inner_steps=2)),
    "maml, an odd meta-batch": lambda ranks: trained(ranks, MAML(inner_lr=0.4), meta_batch=3),
    "maml, fewer tasks than ranks": lambda ranks: trained(ranks, MAML(inner_lr=0.4), meta_batch=1),
    "maml++": lambda ranks: trained(ranks, PLUS_PLUS, "per_step", schedule="cosine"),
    "reptile": lambda ranks: trained(ranks, REPTILE, "running", meta_batch=3, optimizer="sgd", lr=0.8),
    "dropout": lambda ranks: trained(ranks, MAML(inner_lr=0.4), net=net_with_dropout(), meta_batch=3),
}


def started_apart(ranks: Ranks) -> Run:
    """As `maml`, and every rank but the first is given another net."""
    net = smooth_net()
    with torch.no_grad():
        net[0].weight += ranks.rank
    return trained(ranks, MAML(inner_lr=0.4, inner_steps=2), net=net)


def asked_to_stop(ranks: Ranks) -> tuple[str, int]:
    """The last rank alone wants to stop, from the second update on."""
    seen: list[int] = []
    watch = Watch(
        see=lambda row: seen.append(row["update"]), must_stop=lambda: ranks.rank == ranks.count - 1 and len(seen) > 0
    )
    found = trained(ranks, MAML(inner_lr=0.4), watch=watch)
    return found.status, found.update


def out_of_time(ranks: Ranks) -> tuple[str, int]:
    """The first rank alone has no time."""
    found = trained(ranks, MAML(inner_lr=0.4), watch=Watch(minutes=0 if ranks.is_first else None))
    return found.status, found.update


def diverged(ranks: Ranks) -> str:
    try:
        trained(ranks, MAML(inner_lr=1e308))
    except DivergedError as error:
        return str(error)
    return "it did not diverge"


def tested(ranks: Ranks) -> list[Result]:
    """Seven tasks, an ensemble of two, and under a policy whose queries are forwarded alone; blocks of 3, 3 and 1."""
    tasks, shared = splits().test, Evaluation(tasks=7, steps=2)
    learners = [learner_of(smooth_net(), MAML(inner_lr=0.4), norm=norm) for norm in ("transductive", "support")]
    other = map_tensors(lambda tensor: 1.1 * tensor.detach(), learners[0].meta)
    with patch.object(evaluation, "BLOCK", 3):
        return [
            *(evaluate(learner, tasks, shared, ranks=ranks) for learner in learners),
            evaluate(learners[0], tasks, shared, others=[other], ranks=ranks),
        ]


def through_the_python_door(ranks: Ranks) -> tuple[Meta, Mapping, Result, list[int]]:
    """Which finds its ranks by itself; nets differ between ranks before it."""
    seen: list[int] = []
    with seeded(ranks.rank, "test"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
    training = dataclasses.replace(TRAINING, updates=2)
    found = fewstep.train(
        net, MAML(inner_lr=0.1), image_splits(), training=training, see=lambda row: seen.append(row["update"])
    )
    return plain(found.learner), found.mapping, fewstep.evaluate(found, image_splits().test, count=5), seen


def plain(learner: Learner) -> Meta:
    return map_tensors(torch.detach, learner.meta)


def commands(ranks: Ranks, folder: Path) -> dict[str, int]:
    """A run that nothing disturbs; one stopped by Ctrl-C on the last rank, and resumed."""
    log = run.Journal.log_progress

    def interrupting(journal: run.Journal, progress: Any) -> Any:
        if progress.update == 3 and ranks.rank == ranks.count - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return log(journal, progress)

    codes = {"whole": cli.main([*STROKES, "--out", str(folder / "whole")])}
    with patch.object(run.Journal, "log_progress", interrupting):
        codes["stopped"] = cli.main([*STROKES, "--out", str(folder / "stopped")])
    codes["resumed"] = cli.main(["resume", str(folder / "stopped")])
    codes["evaluated"] = cli.main(["evaluate", str(folder / "whole")])
    codes["refused"] = cli.main([*STROKES, "--out", str(folder / "whole"), "--net", "conv5"])
    return codes


def main(folder: Path) -> None:
    """All cases; at the end the second rank leaves, and the others find that out."""
    ranks = join()
    found: dict[str, Any] = {name: _kept(case(ranks)) for name, case in TRAINED.items()}
    found["maml, again"] = _kept(TRAINED["maml"](ranks))
    found["started apart"] = _kept(started_apart(ranks))
    for case in (asked_to_stop, out_of_time, diverged, tested, through_the_python_door):
        found[case.__name__] = case(ranks)
    found["commands"] = commands(ranks, folder)
    found["from the first"] = ranks.from_first(lambda: {"rank": ranks.rank})
    if ranks.rank != 1:
        try:
            while True:
                ranks.sum(torch.ones(1))
        except LostError as error:
            found["lost"] = str(error)
    torchrun._leave()
    found["threads left"] = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    torch.save(found, folder / f"rank{ranks.rank}.pt")


def _kept(found: Run) -> tuple[Meta, list[dict[str, Any]]]:
    return plain(found.learner), found.history


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
