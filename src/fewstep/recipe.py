"""A recipe: everything that decides a result, in one frozen value that is printed, stored and overridden."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from fewstep import seeding
from fewstep.algorithms.alfa import ALFA
from fewstep.algorithms.anil import ANIL
from fewstep.algorithms.baseline_plus_plus import BaselinePlusPlus, pretraining_on_classes
from fewstep.algorithms.boil import BOIL
from fewstep.algorithms.cavia import CAVIA
from fewstep.algorithms.imaml import IMAML
from fewstep.algorithms.maml import MAML
from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus
from fewstep.algorithms.matching_net import MatchingNet
from fewstep.algorithms.meta_sgd import MetaSGD
from fewstep.algorithms.proto_maml import ProtoMAML
from fewstep.algorithms.protonet import ProtoNet
from fewstep.algorithms.r2d2 import R2D2
from fewstep.algorithms.reptile import Reptile, read_in_batches
from fewstep.conforming import conforming
from fewstep.digest import digest
from fewstep.evaluation import Evaluation
from fewstep.importing import imported
from fewstep.learner import Learner, learner_of
from fewstep.model import Loss
from fewstep.nets.conv4 import Conv4
from fewstep.nets.imported import Imported
from fewstep.nets.mlp import MLP
from fewstep.nets.norm import Norm
from fewstep.nets.resnet12 import ResNet12
from fewstep.rebuilding import built
from fewstep.tasks.augmentation import Augmentation, augmented
from fewstep.tasks.images import ImageFolder
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.published import Published
from fewstep.tasks.sinusoid import Sinusoid
from fewstep.tasks.splits import Splits
from fewstep.tasks.strokes import Strokes
from fewstep.training import Training

TaskSpec = Strokes | Omniglot | Published | Sinusoid | ImageFolder
NetSpec = Conv4 | ResNet12 | MLP | Imported
AlgorithmSpec = (
    MAML
    | MAMLPlusPlus
    | Reptile
    | ANIL
    | BOIL
    | MetaSGD
    | IMAML
    | CAVIA
    | ALFA
    | ProtoNet
    | MatchingNet
    | R2D2
    | ProtoMAML
    | BaselinePlusPlus
)

ADDED_LATER = {"added later": True}
"""Of a field that recipes written before do not have: left out of what is written while it has its default, so that
the same recipe has the same digest."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a result.

    Validation uses the val split of `test_tasks` where it has one, so that it mirrors the test, else that of
    `train_tasks`.
    """

    name: Annotated[str, tyro.conf.Suppress]
    about: Annotated[str, tyro.conf.Suppress] = ""
    train_tasks: TaskSpec
    """tasks to train on"""
    test_tasks: TaskSpec
    """tasks to report"""
    net: NetSpec
    """the net"""
    norm: Norm = "transductive"
    """which statistics batch norms use"""
    loss: Loss = "mean_cross_entropy"
    """loss of the inner and of the outer loop; a mean over examples"""
    algorithm: AlgorithmSpec
    """the meta-learning algorithm"""
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation, metadata=ADDED_LATER)
    """changes to training tasks: more classes, other inputs; none by default"""
    training: Training = dataclasses.field(default_factory=Training)
    """the outer loop"""
    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)
    """the final test"""


class Built(NamedTuple):
    """A recipe's parts, ready to train."""

    learner: Learner
    splits: Splits


def build(recipe: Recipe, data_root: Path, seed: int) -> Built:
    """The learner at the start of training, and the tasks; data are read, or downloaded, here.

    Raises `ValueError` where the parts do not fit: ways, outputs, loss; and where a field holds what it cannot, as NaN,
    for no run folder could be read again.
    """
    shown_of_run(to_json(recipe))
    source, target = recipe.train_tasks.build(data_root), recipe.test_tasks.build(data_root)
    source = augmented(source, recipe.augmentation)
    if source.train.inputs != target.test.inputs:
        raise ValueError(
            f"train tasks have inputs of shape {source.train.inputs}, test tasks {target.test.inputs}: "
            f"one net cannot take both"
        )
    if source.train.outputs != target.test.outputs and not recipe.algorithm.makes_head:
        raise ValueError(
            f"train tasks have {source.train.outputs} ways, test tasks {target.test.outputs}: this algorithm's "
            f"head has a fixed width; set train-tasks.ways and test-tasks.ways to the same number"
        )
    with seeding.seeded(seed, "net"):
        net = built(recipe.net, source.train.inputs, source.train.outputs)
    source = pretraining_on_classes(source, recipe.algorithm)
    ways = source.train.outputs
    learner = learner_of(net, recipe.algorithm, loss=recipe.loss, norm=recipe.norm, seed=seed, ways=ways).to("cpu")
    learner = learner.checked(source.train.sample(seed, "check", 0, 1).select(0), ways)
    splits = Splits(
        train=source.train,
        val=target.val or source.val,
        test=target.test,
        summary={"train": source.summary, "test": target.summary},
        overlap=target.overlap,
        preprocessing=target.preprocessing,
        notes=tuple(dict.fromkeys((*source.notes, *target.notes))),
        unvalidated=target.unvalidated or source.unvalidated,
    )
    return Built(learner, read_in_batches(splits, recipe.algorithm))


def identity_of(values: Any, seed: int) -> str:
    """What tells one recipe, as `to_json` wrote it, and seed from another."""
    return digest([values, seed], sort_keys=True)


def to_json(value: Any) -> Any:
    """Plain values; every dataclass says which one it is under `kind`: `MAML`, or `my_module:Mine` of your own."""
    if dataclasses.is_dataclass(value):
        fields = [field for field in dataclasses.fields(value) if not _goes_without_saying(field, value)]
        return {
            "kind": _kind_of(type(value)),
            **{field.name: to_json(getattr(value, field.name)) for field in fields},
        }
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value


def _goes_without_saying(field: dataclasses.Field[Any], value: Any) -> bool:
    if "added later" not in field.metadata:
        return False
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return bool(getattr(value, field.name) == default)


def from_json(values: Any) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises `ValueError` for a field that does not exist, is missing or holds what it cannot, naming it.
    """
    try:
        recipe: Recipe = conforming(values, Recipe, "recipe")
    except ValueError as error:
        raise ValueError(f"not a recipe of this fewstep: {error}") from error
    return recipe


def from_run(values: Any) -> Recipe:
    """The recipe of a run folder, which is one's own: the module of an algorithm of one's own is imported.

    Raises `ValueError` as `from_json` does, and for what cannot be imported or is no algorithm.
    """
    shown, kind = shown_of_run(values), own_kind(values)
    if kind is None:
        return shown
    own = imported(kind, said_as=f"the recipe's algorithm, {kind!r},", example="my_module:Mine")
    if not (isinstance(own, type) and dataclasses.is_dataclass(own)):
        raise ValueError(f"the recipe's algorithm, {kind!r}, is no dataclass")
    algorithm: Any = conforming({**values["algorithm"], "kind": own.__name__}, own, "recipe.algorithm")
    return dataclasses.replace(shown, algorithm=algorithm)


def shown_of_run(values: Any) -> Recipe:
    """The recipe of a run folder to look at: nothing is imported, ProtoNet stands in for an algorithm of one's own.

    Raises `ValueError` as `from_json` does.
    """
    return from_json(values if own_kind(values) is None else {**values, "algorithm": to_json(ProtoNet())})


def own_kind(values: Any) -> str | None:
    """`my_module:Mine` where the algorithm of a recipe, as `to_json` wrote it, is one's own."""
    given = values.get("algorithm") if isinstance(values, dict) else None
    kind = given.get("kind") if isinstance(given, dict) else None
    return kind if isinstance(kind, str) and ":" in kind else None


def net_from_json(values: Any) -> NetSpec:
    """The net's part of a recipe, as `to_json` wrote it.

    Raises `ValueError` for a kind or field that does not exist.
    """
    net: NetSpec = conforming(values, NetSpec, "net")
    return net


def _kind_of(kind: type) -> str:
    is_ours = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return kind.__name__ if is_ours else f"{kind.__module__}:{kind.__qualname__}"
