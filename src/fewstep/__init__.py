"""Few-shot meta-learning for PyTorch: correct, fast, reproducible."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewstep.adapted import Adapted as Adapted
    from fewstep.adapted_file import load as load
    from fewstep.algorithms.alfa import ALFA as ALFA
    from fewstep.algorithms.anil import ANIL as ANIL
    from fewstep.algorithms.baseline_plus_plus import BaselinePlusPlus as BaselinePlusPlus
    from fewstep.algorithms.boil import BOIL as BOIL
    from fewstep.algorithms.cavia import CAVIA as CAVIA
    from fewstep.algorithms.imaml import IMAML as IMAML
    from fewstep.algorithms.maml import MAML as MAML
    from fewstep.algorithms.maml_plus_plus import MAMLPlusPlus as MAMLPlusPlus
    from fewstep.algorithms.matching_net import MatchingNet as MatchingNet
    from fewstep.algorithms.meta_sgd import MetaSGD as MetaSGD
    from fewstep.algorithms.proto_maml import ProtoMAML as ProtoMAML
    from fewstep.algorithms.protonet import ProtoNet as ProtoNet
    from fewstep.algorithms.r2d2 import R2D2 as R2D2
    from fewstep.algorithms.reptile import Reptile as Reptile
    from fewstep.api import adapt as adapt
    from fewstep.api import audit as audit
    from fewstep.api import evaluate as evaluate
    from fewstep.api import train as train
    from fewstep.comparison import Paired as Paired
    from fewstep.comparison import paired as paired
    from fewstep.core import Examples as Examples
    from fewstep.core import Task as Task
    from fewstep.estimator import FewShotClassifier as FewShotClassifier
    from fewstep.evaluation import Evaluation as Evaluation
    from fewstep.foreign.learner import Foreign as Foreign
    from fewstep.inner.adagrad import Adagrad as Adagrad
    from fewstep.inner.adam import Adam as Adam
    from fewstep.inner.momentum import Momentum as Momentum
    from fewstep.inner.rmsprop import RMSprop as RMSprop
    from fewstep.inner.sgd import SGD as SGD
    from fewstep.learner import Learner as Learner
    from fewstep.learner import learner_of as learner_of
    from fewstep.mapping import Mapping as Mapping
    from fewstep.nets.conv4 import Conv4 as Conv4
    from fewstep.nets.imported import Imported as Imported
    from fewstep.nets.mlp import MLP as MLP
    from fewstep.nets.resnet12 import ResNet12 as ResNet12
    from fewstep.recipe import Recipe as Recipe
    from fewstep.tasks.augmentation import Augmentation as Augmentation
    from fewstep.tasks.augmentation import augmented as augmented
    from fewstep.tasks.dataset import from_dataset as from_dataset
    from fewstep.tasks.generated import from_function as from_function
    from fewstep.tasks.images import Images as Images
    from fewstep.tasks.images import from_folder as from_folder
    from fewstep.tasks.omniglot import Omniglot as Omniglot
    from fewstep.tasks.published import Published as Published
    from fewstep.tasks.sinusoid import Sinusoid as Sinusoid
    from fewstep.tasks.strokes import Strokes as Strokes
    from fewstep.tasks.table import from_csv as from_csv
    from fewstep.tasks.tensors import from_tensors as from_tensors
    from fewstep.tensorboard import TensorBoard as TensorBoard
    from fewstep.training import Training as Training

_HOMES = {
    "Adapted": "adapted",
    "ALFA": "algorithms.alfa",
    "ANIL": "algorithms.anil",
    "BaselinePlusPlus": "algorithms.baseline_plus_plus",
    "BOIL": "algorithms.boil",
    "CAVIA": "algorithms.cavia",
    "IMAML": "algorithms.imaml",
    "MAML": "algorithms.maml",
    "MAMLPlusPlus": "algorithms.maml_plus_plus",
    "MetaSGD": "algorithms.meta_sgd",
    "MatchingNet": "algorithms.matching_net",
    "ProtoMAML": "algorithms.proto_maml",
    "ProtoNet": "algorithms.protonet",
    "R2D2": "algorithms.r2d2",
    "Reptile": "algorithms.reptile",
    "Adagrad": "inner.adagrad",
    "Adam": "inner.adam",
    "Augmentation": "tasks.augmentation",
    "Conv4": "nets.conv4",
    "Evaluation": "evaluation",
    "Examples": "core",
    "FewShotClassifier": "estimator",
    "Foreign": "foreign.learner",
    "Images": "tasks.images",
    "Imported": "nets.imported",
    "Learner": "learner",
    "MLP": "nets.mlp",
    "Mapping": "mapping",
    "Momentum": "inner.momentum",
    "Omniglot": "tasks.omniglot",
    "Paired": "comparison",
    "Published": "tasks.published",
    "RMSprop": "inner.rmsprop",
    "Recipe": "recipe",
    "ResNet12": "nets.resnet12",
    "SGD": "inner.sgd",
    "Sinusoid": "tasks.sinusoid",
    "Strokes": "tasks.strokes",
    "Task": "core",
    "TensorBoard": "tensorboard",
    "Training": "training",
    "adapt": "api",
    "audit": "api",
    "augmented": "tasks.augmentation",
    "evaluate": "api",
    "from_csv": "tasks.table",
    "from_dataset": "tasks.dataset",
    "from_folder": "tasks.images",
    "from_function": "tasks.generated",
    "from_tensors": "tasks.tensors",
    "learner_of": "learner",
    "load": "adapted_file",
    "paired": "comparison",
    "train": "api",
}

__all__ = [*_HOMES]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the command line's help must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fewstep' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fewstep.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
