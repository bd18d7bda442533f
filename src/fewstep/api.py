"""The library's front door: train, evaluate, adapt and audit with any net and any tasks."""

import copy
import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from fewstep import adapted, auditing, evaluation, seeding
from fewstep.algorithm import Algorithm
from fewstep.algorithms.baseline_plus_plus import pretraining_on_classes
from fewstep.algorithms.reptile import read_in_batches
from fewstep.autotune import choose_mapping
from fewstep.card import Card
from fewstep.checkpoint import load_checkpoint
from fewstep.core import Examples
from fewstep.digest import digest
from fewstep.durable import make_folder
from fewstep.evaluation import Evaluation, Result
from fewstep.foreign.audit import TaskMaker, audit_foreign
from fewstep.foreign.learner import Foreign
from fewstep.journal import Row, begin_log, checkpoints
from fewstep.learner import Learner, learner_of
from fewstep.lock import locked
from fewstep.mapping import Mapping
from fewstep.memory import warn_if_too_large
from fewstep.model import Loss
from fewstep.nets.norm import Norm
from fewstep.ranks import Ranks
from fewstep.recipe import NetSpec, to_json
from fewstep.run import Run, Watch, train_run
from fewstep.run_folder import mapping_from
from fewstep.tasks.splits import Splits, Tasks
from fewstep.tasks.support import read_support
from fewstep.torchrun import join
from fewstep.trained import Trained, read_trained
from fewstep.training import Training

logger = logging.getLogger(__name__)


def train(
    net: nn.Module,
    algorithm: Algorithm,
    tasks: Splits,
    *,
    updates: int | None = None,
    training: Training | None = None,
    loss: Loss = "mean_cross_entropy",
    norm: Norm = "transductive",
    seed: int = 0,
    device: torch.device | str = "cpu",
    mapping: Mapping | None = None,
    out: str | Path | None = None,
    minutes: float | None = None,
    see: Callable[[Row], None] = lambda row: None,
) -> Run:
    """Meta-train any `nn.Module`; the module itself is copied, never changed.

    `updates` goes before `training.updates`. With `out`, the audit, metrics and checkpoints go there, and calling
    again with the same arguments continues from the newest checkpoint. `mapping` defaults to the fastest of a few,
    measured at the start. `see` gets every row of the log as it is written. Under torchrun every process calls this,
    they share the tasks of every update, and all return the same learner; the first one alone writes and sees.

    Raises `ValueError` where net, tasks and loss do not fit together.
    """
    if not isinstance(tasks, Splits):
        raise ValueError(f"tasks is a {type(tasks).__name__}, expected train, val and test tasks: its `.build()`")
    for note in tasks.told():
        logger.warning("note: %s", note)
    tasks = pretraining_on_classes(read_in_batches(tasks, algorithm), algorithm)
    training = training or Training()
    if updates is not None:
        training = dataclasses.replace(training, updates=updates)
    ranks = join()
    batch = tasks.train.sample(seed, "tuning", 0, training.meta_batch)
    net = _as_on_first(_initialised(net, batch.support.x[0], seed), ranks)
    start = learner_of(net, algorithm, loss=loss, norm=norm, seed=seed, ways=tasks.train.outputs).to("cpu")
    learner = start.checked(batch.select(0), tasks.train.outputs).to(ranks.device(str(device)))
    folder = None if out is None else Path(out)

    def begun() -> Mapping:
        found, here = _begin(learner, tasks, seed, folder, mapping), batch.to(learner.device)
        found = found or choose_mapping(learner, here, ranks=ranks)
        warn_if_too_large(learner, here, found)
        return found

    chosen = ranks.from_first(begun)
    shapes = {name: list(tensor.shape) for name, tensor in learner.model.parameters().items()}
    parts = [type(net).__qualname__, shapes, repr(algorithm), repr(training), loss, norm, seed, tasks.summary]
    return train_run(
        learner,
        tasks,
        training,
        Evaluation(steps=algorithm.inner_steps),
        seed=seed,
        mapping=chosen,
        identity=digest(parts),
        about={"algorithm": repr(algorithm), "training": repr(training), "mapping": dataclasses.asdict(chosen)},
        folder=folder,
        watch=Watch(see=see, minutes=minutes) if ranks.is_first else Watch(minutes=minutes),
        ranks=ranks,
    )


def evaluate(
    run: Run | Learner | str | Path, tasks: Tasks, *, count: int = 1000, steps: int | None = None, seed: int = 0
) -> Result:
    """Test on `count` tasks after `steps` inner steps (default: as in training); changes nothing in `run`.

    `run` may also be a run folder, a learner file or the name of a learner of the package; `steps` then defaults to
    those of its test. Under torchrun every process calls this, scores its share of the tasks, and returns the whole
    result.

    Raises `ValueError` for tasks of another width than the learner's head, unless its algorithm makes one for each
    task.
    """
    source = read_trained(run) if isinstance(run, str | Path) else run
    learner = _learner(source)
    learner = learner.checked(tasks.sample(seed, "check", 0, 1).select(0).to(learner.device), tasks.outputs)
    as_trained = source.steps if isinstance(source, Trained) else learner.algorithm.inner_steps
    settings = Evaluation(tasks=count, steps=as_trained if steps is None else steps, seed=seed)
    mapping = run.mapping if isinstance(run, Run) else None
    return evaluation.evaluate(learner, tasks, settings, mapping=mapping, ranks=join())


def adapt(
    run: Run | Learner | Trained | str | Path,
    support: Examples | str | Path,
    *,
    steps: int | None = None,
    classes: Sequence[str] | None = None,
    net: nn.Module | NetSpec | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """The net adapted to `support` as a plain `nn.Module`, the user's own class and parameter names.

    `run` may also be a run folder, a learner file or the name of a learner of the package; `support` also a folder,
    `support/CLASS/IMAGE`, whose images go through what those of training went through. `classes` names the class ids
    of examples. A learner file of a net by import path needs that `net`, an instance of it or `Imported(path=...)`: no
    file may have code imported. `steps` defaults to those of training, for run folders and learner files to those of
    their test.

    The net's attribute `fewstep` is an `Adapted`: `model.fewstep.predict(["a.png"])`, `.save("shapes.fewstep")`,
    `.export("onnx", "shapes.onnx")`, `.classes`.

    Raises `ValueError` where the support set does not fit the learner.
    """
    source = read_trained(run, net=net, device=device or "cpu") if isinstance(run, str | Path) else run
    learner = _learner(source)
    learner = learner if device is None else learner.to(device)
    preprocessing = source.preprocessing if isinstance(source, Run | Trained) else None
    if not isinstance(support, Examples):
        if preprocessing is None:
            raise ValueError(f"{support} cannot be read: the learner was not trained on image files; give Examples")
        support, names = read_support(Path(support), preprocessing)
        classes = names if classes is None else classes
    if not isinstance(source, Trained):
        return adapted.adapt(learner, support, steps=steps, classes=classes, preprocessing=preprocessing)
    return adapted.adapt(
        learner,
        support,
        steps=source.steps if steps is None else steps,
        classes=classes,
        preprocessing=preprocessing,
        net=to_json(source.recipe.net),
        accuracy=source.accuracy if steps in (None, source.steps) else "",
    )


def audit(run: Run | Learner | Foreign, tasks: Splits | TaskMaker | None = None, *, seed: int = 0) -> Card:
    """Measure what a learner really does: derivative order, gradients, transduction, leaks; print the card to see.

    The code of a `Foreign` learner also takes a function that makes one task at a call, as (support, query), each
    (x, y); or no tasks, and is then tried on 5-way 1-shot ones of the embedded alphabets, images `[1, 28, 28]`.

    Raises `ValueError` where a learner of ours comes without built splits.
    """
    if isinstance(run, Foreign):
        return audit_foreign(run, tasks, seed=seed)
    if not isinstance(tasks, Splits):
        raise ValueError(f"tasks is a {type(tasks).__name__}, expected train, val and test tasks: its `.build()`")
    return auditing.audit(_learner(run), tasks, seed=seed)


def _learner(run: Run | Learner | Trained) -> Learner:
    return run.learner if isinstance(run, Run | Trained) else run


def _initialised(net: nn.Module, x: torch.Tensor, seed: int) -> nn.Module:
    """The net, or, where it has lazy layers, a copy of it that has seen an input."""
    if not any(is_lazy(parameter) for parameter in net.parameters()):
        return net
    net = copy.deepcopy(net)
    with torch.no_grad(), seeding.seeded(seed, "net"):
        net(x)
    return net


def _as_on_first(net: nn.Module, ranks: Ranks) -> nn.Module:
    """The net, with several ranks a copy of it that holds what the first rank's holds."""
    if ranks.count == 1:
        return net
    net = copy.deepcopy(net)
    net.load_state_dict(ranks.from_first(net.state_dict))
    return net


def _begin(learner: Learner, tasks: Splits, seed: int, folder: Path | None, mapping: Mapping | None) -> Mapping | None:
    """Make the folder; audit a learner that starts. The mapping as given, or of the run that the folder holds."""
    if folder is not None:
        make_folder(folder)
        mapping = mapping or _mapping_of(folder)
    if folder is None or not checkpoints(folder):
        with locked(folder):
            _audit(learner, tasks, seed, folder)
    return mapping


def _audit(learner: Learner, tasks: Splits, seed: int, folder: Path | None) -> None:
    card = auditing.audit(learner, tasks, seed=seed)
    logger.info("audit:\n%s", card)
    if folder is not None:
        begin_log(folder, card)


def _mapping_of(folder: Path) -> Mapping | None:
    """The mapping of a stopped run, which its resumption must share to be bit-identical."""
    found = checkpoints(folder)
    return mapping_from(load_checkpoint(found[-1]).about.get("mapping")) if found else None
