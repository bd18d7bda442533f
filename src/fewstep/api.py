"""The library's front door: train, evaluate, adapt and audit with any net and any tasks."""

import dataclasses
from pathlib import Path

from torch import nn

from fewstep import adapted, auditing, evaluation
from fewstep.algorithm import Algorithm
from fewstep.autotune import choose_mapping
from fewstep.card import Card
from fewstep.checkpoint import load_checkpoint
from fewstep.core import Examples
from fewstep.evaluation import Evaluation, Result
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping
from fewstep.model import Loss
from fewstep.nets.norm import Norm
from fewstep.run import Run, Watch, checkpoints, train_run
from fewstep.tasks.splits import Splits, Tasks
from fewstep.training import Training


def train(
    net: nn.Module,
    algorithm: Algorithm,
    tasks: Splits,
    *,
    updates: int = 2000,
    training: Training | None = None,
    loss: Loss = "mean_cross_entropy",
    norm: Norm = "transductive",
    seed: int = 0,
    mapping: Mapping | None = None,
    out: str | Path | None = None,
    minutes: float | None = None,
) -> Run:
    """Meta-train any `nn.Module`; the module itself is copied, never changed.

    With `out`, metrics and checkpoints go there, and calling again with the same arguments continues from the
    newest checkpoint. `mapping` defaults to the fastest of a few, measured at the start.

    Raises `ValueError` where net, tasks and loss do not fit together.
    """
    training = training or Training(updates=updates)
    learner = learner_of(net, algorithm, loss=loss, norm=norm, seed=seed).to("cpu")
    batch = tasks.train.sample(seed, "tuning", 0, training.meta_batch)
    learner.check_outputs(batch.select(0), tasks.train.outputs)
    shapes = {name: tuple(tensor.shape) for name, tensor in learner.model.parameters().items()}
    folder = None if out is None else Path(out)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        mapping = mapping or _mapping_of(folder)
    mapping = mapping or choose_mapping(learner, batch)
    return train_run(
        learner,
        tasks,
        training,
        Evaluation(steps=algorithm.inner_steps),
        seed=seed,
        mapping=mapping,
        identity=repr((type(net).__qualname__, shapes, algorithm, training, loss, norm, seed, tasks.summary)),
        about={"algorithm": repr(algorithm), "training": repr(training), "mapping": dataclasses.asdict(mapping)},
        folder=folder,
        watch=Watch(minutes=minutes),
    )


def evaluate(run: Run | Learner, tasks: Tasks, *, count: int = 1000, steps: int | None = None, seed: int = 0) -> Result:
    """Test on `count` tasks after `steps` inner steps (default: as in training); changes nothing in `run`."""
    learner = _learner(run)
    settings = Evaluation(tasks=count, steps=learner.algorithm.inner_steps if steps is None else steps, seed=seed)
    mapping = run.mapping if isinstance(run, Run) else None
    return evaluation.evaluate(learner, tasks, settings, mapping=mapping)


def adapt(run: Run | Learner, support: Examples, *, steps: int | None = None) -> nn.Module:
    """The net adapted to `support` as a plain `nn.Module`, the user's own class and parameter names."""
    return adapted.adapt(_learner(run), support, steps=steps)


def audit(run: Run | Learner, tasks: Splits, *, seed: int = 0) -> Card:
    """Measure what the learner really does: derivative order, gradients, transduction, leaks."""
    return auditing.audit(_learner(run), tasks, seed=seed)


def _mapping_of(folder: Path) -> Mapping | None:
    """The mapping of a stopped run, which its resumption must share to be bit-identical."""
    found = checkpoints(folder)
    return Mapping(**load_checkpoint(found[-1]).about["mapping"]) if found else None


def _learner(run: Run | Learner) -> Learner:
    return run.learner if isinstance(run, Run) else run
