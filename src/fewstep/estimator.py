"""A trained run as a scikit-learn classifier: fitting adapts it to the classes of a support set."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fewstep.core import Examples
from fewstep.learner import Learner
from fewstep.run import Run
from fewstep.trained import Trained, read_trained

BLOCK = 256
"""Queries forwarded at once; predictions are each its own."""


def _bases() -> tuple[type, ...]:
    """What scikit-learn's hooks demand of a classifier; nothing where it is missing: the name is there all the same."""
    try:
        from sklearn.base import BaseEstimator, ClassifierMixin
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        return ()
    return ClassifierMixin, BaseEstimator


class FewShotClassifier(*_bases()):  # type: ignore[misc]  # mypy wants base classes by name
    """`fit` adapts a trained learner to the few examples of each class, `predict` tells which class a query is of.

    `run` is a `Run`, a `Learner`, the folder of a run that `fewstep train` made, a learner file, or the name of a
    learner of the package; it is never changed. `inputs` is the shape of one input, which is asked for where X comes
    flattened and `run` was not trained on images; `steps` are inner steps, by default those of the test of the folder
    or file, else of training. Inputs are scaled as in the tasks of the training.

    `X: [N, *inputs]`, or flattened `[N, features]`; `y: [N]` labels of any kind. An algorithm whose head is the net's
    own needs as many classes as it was trained with. A transductive run keeps the statistics of the support set, so
    that each prediction is its own. The same fit gives the same predictions, to the last bit on the same machine.

    After `fit` there are `classes_: [ways]`, sorted; `n_features_in_`, the numbers in one input; `feature_names_in_`
    where X was a table with names; and `inputs_`, the shape of one input.

    Raises `ValueError` where scikit-learn is not installed, where `run` does not classify, and for X and y of another
    shape, width or number of classes than the run can take, or with values that are not finite.
    """

    def __init__(
        self,
        run: Run | Learner | Trained | str | Path,
        *,
        inputs: tuple[int, ...] | None = None,
        steps: int | None = None,
    ):
        if not _bases():
            raise ValueError('FewShotClassifier needs the package scikit-learn: pip install "fewstep[sklearn]"')
        self.run = run
        self.inputs = inputs
        self.steps = steps

    def fit(self, X: Any, y: Any) -> "FewShotClassifier":  # noqa: N803  # scikit-learn's name
        """Adapt to the examples `X` of the classes `y`."""
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        source = _source(self.run)
        given, flat = _flattened(X)
        values, labels = validate_data(self, flat, y)
        check_classification_targets(labels)
        self.classes_, ids = np.unique(labels, return_inverse=True)
        self.inputs_ = self.inputs or source.inputs or given
        if self.n_features_in_ != math.prod(self.inputs_) or given not in (self.inputs_, (self.n_features_in_,)):
            expected = f"{_shape(self.inputs_)}, or [{math.prod(self.inputs_)}] flattened"
            raise ValueError(f"one input of X has the shape {_shape(given)}, expected {expected}")
        support = Examples(self._tensor(values, source.learner), torch.as_tensor(ids, device=source.learner.device))
        _check_fit(source.learner, support, len(self.classes_))
        steps = source.steps if self.steps is None else self.steps
        with torch.no_grad():
            self._phi = source.learner.adapt(support, steps)
        self._learner = source.learner.for_ways(len(self.classes_))
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The most probable class of every query: `[N]` of `classes_`."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """The probability of every class, in the order of `classes_`: `[N, ways]`, float64."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        given, flat = _flattened(X)
        if len(given) > 1 and given != self.inputs_:
            raise ValueError(f"one input of X has the shape {_shape(given)}, and in fit it was {_shape(self.inputs_)}")
        x = self._tensor(validate_data(self, flat, reset=False), self._learner)
        with torch.no_grad():
            logits = torch.cat([self._learner.predict(self._phi, block) for block in torch.split(x, BLOCK)])
        return logits.double().softmax(1).cpu().numpy()

    def _tensor(self, values: Any, learner: Learner) -> Tensor:
        like = learner.parameters()[0]
        return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(-1, *self.inputs_)


class _Source(NamedTuple):
    """What a run gives: its learner as it is tested, each prediction its own."""

    learner: Learner
    inputs: tuple[int, ...] | None = None
    steps: int | None = None


def _source(run: Any) -> _Source:
    found = read_trained(run) if isinstance(run, str | Path) else run
    if not isinstance(found, Run | Learner | Trained):
        raise ValueError(
            f"run is a {type(run).__name__}, expected a Run, a Learner, or the folder, file or name of one"
        )
    learner = found if isinstance(found, Learner) else found.learner
    if not learner.model.is_classifier:
        raise ValueError("this run was trained on values, with loss='mean_squared_error': it tells no classes apart")
    learner = learner.each_alone().for_evaluation()
    preprocessing = None if isinstance(found, Learner) else found.preprocessing
    return _Source(
        learner=learner,
        inputs=None if preprocessing is None else preprocessing.inputs,
        steps=found.steps if isinstance(found, Trained) else None,
    )


def _check_fit(learner: Learner, support: Examples, ways: int) -> None:
    """Raise `ValueError` unless the net takes the inputs, and tells as many classes apart as there are."""
    try:
        with torch.no_grad():
            outputs = learner.model.support_outputs(learner.model.parameters(), support.x).shape[1]
    except RuntimeError as error:
        found = str(error).partition("\n")[0]
        raise ValueError(
            f"the net does not take inputs of the shape {_shape(support.x.shape[1:])} ({found}); give X as "
            f"[N, *inputs], or the shape of one input as FewShotClassifier(run, inputs=...)"
        ) from error
    if not learner.algorithm.makes_head and outputs != ways:
        raise ValueError(
            f"y has {ways} classes, but the head of this run's net tells {outputs} apart: give examples of {outputs} "
            f"classes, or take a run of an algorithm that makes a head for every task, such as ProtoNet"
        )


def _flattened(X: Any) -> tuple[tuple[int, ...], Any]:  # noqa: N803
    """The shape of one input, and X as `[N, features]`; a table with names stays one."""
    if isinstance(X, Tensor):
        X = X.numpy(force=True)  # noqa: N806
    elif getattr(X, "shape", None) is None:
        X = np.asarray(X)  # noqa: N806
    return tuple(X.shape[1:]), X.reshape(len(X), -1) if len(X.shape) > 2 else X


def _shape(sizes: Any) -> str:
    return str(list(sizes))
