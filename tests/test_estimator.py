"""A trained run among scikit-learn's classifiers."""

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator
from torch import Tensor, nn

import fewstep
from builders import leaving_as_it_was, plain_adapt, plain_outputs, smooth_net, smooth_task
from fewstep import experiment
from fewstep.core import Examples, Inner, Meta, Params
from fewstep.estimator import FewShotClassifier
from fewstep.evaluation import Evaluation
from fewstep.learner import Learner, learner_of
from fewstep.mapping import Mapping
from fewstep.model import Model
from fewstep.recipes import find
from fewstep.run import Run
from fewstep.seeding import seeded
from fewstep.training import Training
from run_builders import shrunken, sinusoid_learner

NAMES = np.array(["heron", "auk", "wren"])
"""In another order than sorted: ids 0, 1, 2 become 1, 0, 2 of `classes_`."""
TASK = smooth_task()
X, Y = TASK.support.x.numpy(), NAMES[TASK.support.y]
QUERIES = TASK.query.x.numpy()


@dataclass(frozen=True, kw_only=True)
class NearestMean:
    """The class of the nearest mean embedding, of any number of classes."""

    makes_head: ClassVar[bool] = True
    head: ClassVar[str | None] = None
    inner_steps: ClassVar[int] = 0

    def init(self, model: Model, generator: torch.Generator) -> Meta:
        return Meta({"theta": model.embedding.parameters()}, {})

    def start(self, model: Model, meta: Meta, support: Examples) -> Inner:
        theta = meta.learned["theta"]
        embedded = model.embedding.support_outputs(theta, support.x)
        means = torch.stack([embedded[support.y == way].mean(0) for way in range(model.ways)])
        return Inner({**theta, "means": means}, {})

    def predict(self, model: Model, phi: Params, x: Tensor) -> Tensor:
        return -(torch.cdist(model.embedding.support_outputs(phi, x), phi["means"]) ** 2)


class TakesAnyWidth(nn.Module):
    """Four averages over the features of a row, however many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(nn.functional.adaptive_avg_pool1d(x[:, None], 4).flatten(1))))


def any_learner() -> Learner:
    with seeded(0, "net"):
        return learner_of(TakesAnyWidth().double(), NearestMean())


EXPECTED_TO_FAIL = {
    "check_estimators_overwrite_params": "it compares joblib's hash of `run` with that of a deep copy, and the two "
    "differ for any nn.Module; test_fitting_changes_nothing_in_the_learner is in its place",
}


def test_all_else_that_scikit_learn_checks_of_classifiers_holds():
    found = check_estimator(FewShotClassifier(any_learner()), on_skip=None, on_fail=None)
    assert len(found) > 40
    assert {one["check_name"] for one in found if one["status"] == "failed"} == set(EXPECTED_TO_FAIL)


def learner(inner_steps: int = 3, norm: str = "transductive") -> Learner:
    return learner_of(smooth_net(), fewstep.MAML(inner_lr=0.2, inner_steps=inner_steps), norm=norm)


@pytest.fixture
def fitted() -> FewShotClassifier:
    return FewShotClassifier(learner()).fit(X, Y)


def probabilities(steps: int) -> np.ndarray:
    """By torch's own optimizer and the support set's statistics; columns of the head in the order of sorted names."""
    support = TASK.support._replace(y=torch.tensor([1, 0, 2])[TASK.support.y])
    adapted = plain_adapt(smooth_net(), support, steps=steps, lr=0.2)
    return plain_outputs(adapted, support, TASK.query.x, "support").detach().softmax(1).numpy()


def test_probabilities_are_those_of_plain_gradient_descent_in_the_order_of_the_sorted_labels(fitted):
    assert fitted.classes_.tolist() == ["auk", "heron", "wren"]
    np.testing.assert_allclose(fitted.predict_proba(QUERIES), probabilities(3), rtol=1e-9)
    np.testing.assert_array_equal(fitted.predict(QUERIES), fitted.classes_[probabilities(3).argmax(1)])
    assert fitted.score(QUERIES, NAMES[TASK.query.y]) == np.mean(fitted.predict(QUERIES) == NAMES[TASK.query.y])


def test_steps_given_go_before_those_of_training():
    found = FewShotClassifier(learner(), steps=1).fit(X, Y).predict_proba(QUERIES)
    np.testing.assert_allclose(found, probabilities(1), rtol=1e-9)


def test_each_prediction_is_its_own_also_of_a_transductive_run(fitted):
    alone = np.concatenate([fitted.predict_proba(QUERIES[i : i + 1]) for i in range(len(QUERIES))])
    np.testing.assert_allclose(alone, fitted.predict_proba(QUERIES), rtol=1e-9)


def test_the_same_fit_gives_the_same_predictions_and_another_fit_leaves_nothing_behind(fitted):
    before = fitted.predict_proba(QUERIES)
    other = smooth_task(7)
    fitted.fit(other.support.x.numpy(), other.support.y.numpy())
    assert not np.array_equal(fitted.predict_proba(QUERIES), before)
    np.testing.assert_array_equal(fitted.fit(X, Y).predict_proba(QUERIES), before)


def test_dropout_draws_nothing():
    with seeded(0, "net"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(25, 8), nn.Dropout(), nn.Tanh(), nn.Linear(8, 3)).double()
    both = [
        FewShotClassifier(learner_of(net, fewstep.MAML(inner_lr=0.2))).fit(X, Y).predict_proba(QUERIES)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*both)


def test_fitting_changes_nothing_in_the_learner():
    mine = learner()
    with leaving_as_it_was(mine):
        FewShotClassifier(mine).fit(X, Y).predict(QUERIES)


def test_a_run_serves_as_its_learner_does(fitted):
    run = Run(
        learner=learner(), update=1, selected_update=1, seconds=0.0, history=[], mapping=Mapping(), status="finished"
    )
    np.testing.assert_array_equal(
        FewShotClassifier(run).fit(X, Y).predict_proba(QUERIES), fitted.predict_proba(QUERIES)
    )


def test_flattened_inputs_are_given_their_shape_and_both_forms_can_be_queried(fitted):
    flat = FewShotClassifier(learner(), inputs=(1, 5, 5)).fit(X.reshape(6, 25), Y)
    assert flat.n_features_in_ == fitted.n_features_in_ == 25
    for queries in (QUERIES, QUERIES.reshape(6, 25), torch.from_numpy(QUERIES), QUERIES.tolist()):
        np.testing.assert_array_equal(flat.predict_proba(queries), fitted.predict_proba(QUERIES))
        np.testing.assert_array_equal(fitted.predict_proba(queries), fitted.predict_proba(QUERIES))


def test_a_table_keeps_the_names_of_its_columns():
    table = pd.DataFrame(X.reshape(6, 25), columns=[f"pixel{i}" for i in range(25)])
    mine = FewShotClassifier(learner(), inputs=(1, 5, 5)).fit(table, Y)
    assert mine.feature_names_in_.tolist() == table.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        mine.predict(table.rename(columns={"pixel0": "other"}))


def test_many_queries_are_predicted_block_by_block(fitted):
    many = np.concatenate([QUERIES] * 100)
    np.testing.assert_allclose(fitted.predict_proba(many)[-6:], fitted.predict_proba(QUERIES), rtol=1e-9)


def test_an_algorithm_that_makes_its_head_takes_any_number_of_classes():
    """Rows of 4 in five clusters far apart; queries are the clusters' centres."""
    centres = 4 * np.eye(5, 4)
    shots = np.concatenate([centres + 0.01, centres - 0.01])
    mine = FewShotClassifier(any_learner()).fit(shots, np.tile(np.arange(5), 2))
    assert mine.predict(centres).tolist() == [0, 1, 2, 3, 4]


# What scikit-learn does with it


def test_parameters_can_be_read_set_and_cloned(fitted):
    assert fitted.get_params() == {"run": fitted.run, "inputs": None, "steps": None}
    copy = clone(fitted).set_params(steps=1)
    assert (copy.steps, fitted.steps) == (1, None)
    with pytest.raises(NotFittedError):
        copy.predict(QUERIES)
    np.testing.assert_allclose(copy.fit(X, Y).predict_proba(QUERIES), probabilities(1), rtol=1e-9)


def test_cross_validation_and_a_search_over_steps_work_with_string_labels():
    rng = np.random.default_rng(0)
    patterns = 3 * rng.normal(size=(3, 1, 5, 5))
    x, y = np.tile(patterns, (6, 1, 1, 1)) + 0.1 * rng.normal(size=(18, 1, 5, 5)), np.tile(NAMES, 6)
    scores = cross_val_score(FewShotClassifier(learner(inner_steps=20)), x, y, cv=3)
    assert scores.tolist() == [1.0, 1.0, 1.0]
    search = GridSearchCV(FewShotClassifier(learner()), {"steps": [0, 20]}, cv=3).fit(x, y)
    assert search.best_params_ == {"steps": 20}


def test_a_fitted_one_can_be_pickled(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(QUERIES), fitted.predict_proba(QUERIES))


# What is refused


def with_value(value: float) -> np.ndarray:
    x = X.copy()
    x[0, 0, 0, 0] = value
    return x


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:4], Y[:4], "y has 2 classes, but the head of this run's net tells 3 apart"),
        (X, np.arange(6) % 4, "y has 4 classes, but the head of this run's net tells 3 apart"),
        (with_value(np.nan), Y, "NaN"),
        (with_value(np.inf), Y, "infinity"),
        (X, Y[:5], "inconsistent numbers of samples"),
        (X, np.linspace(0, 1, 6), "Unknown label type"),
        (X.reshape(6, 25), Y, r"the net does not take inputs of the shape \[25\] .*FewShotClassifier\(run, inputs="),
        (X[..., :4], Y, r"the net does not take inputs of the shape \[1, 5, 4\]"),
    ],
    ids=["too few classes", "too many", "nan", "infinity", "fewer labels", "values", "flattened", "narrow"],
)
def test_examples_that_the_run_cannot_take_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        FewShotClassifier(learner()).fit(x, y)


@pytest.mark.parametrize(
    "x", [X.reshape(6, 5, 5, 1), X.reshape(6, 25)[:, :24], X[..., :4]], ids=["turned", "flat", "cut"]
)
def test_examples_of_another_shape_than_told_are_refused(x):
    message = rf"one input of X has the shape \[{', '.join(map(str, x.shape[1:]))}\], expected \[1, 5, 5\], or \[25\]"
    with pytest.raises(ValueError, match=message):
        FewShotClassifier(learner(), inputs=(1, 5, 5)).fit(x, Y)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (QUERIES.reshape(6, 25)[:, :24], "X has 24 features, but FewShotClassifier is expecting 25 features"),
        (QUERIES.reshape(6, 5, 5, 1), r"one input of X has the shape \[5, 5, 1\], and in fit it was \[1, 5, 5\]"),
        (np.full_like(QUERIES, np.nan), "NaN"),
    ],
    ids=["width", "turned", "nan"],
)
def test_queries_that_are_unlike_the_examples_are_refused(fitted, x, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict(x)


def test_before_fit_nothing_is_predicted():
    with pytest.raises(NotFittedError):
        FewShotClassifier(learner()).predict(QUERIES)


def test_a_run_that_regresses_and_what_is_no_run_are_refused():
    with pytest.raises(ValueError, match=r"was trained on values, .*it tells no classes apart"):
        FewShotClassifier(sinusoid_learner()).fit(X, Y)
    with pytest.raises(ValueError, match="run is a Sequential, expected a Run, a Learner, or the folder, file or name"):
        FewShotClassifier(smooth_net()).fit(X, Y)


WITHOUT_SKLEARN = """
import sys
class Missing:
    def find_spec(name, *rest):
        if name == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'", name=name)
sys.meta_path.insert(0, Missing)
from fewstep import *
try:
    FewShotClassifier("runs/mine")
except ValueError as error:
    print(error)
"""


def test_a_name_that_nothing_has_is_refused():
    with pytest.raises(ValueError, match="nonsense is no run folder, no learner file and no learner's name"):
        FewShotClassifier("nonsense").fit(X, Y)


def test_without_the_extra_the_name_is_there_and_making_one_says_what_to_install():
    told = subprocess.run([sys.executable, "-c", WITHOUT_SKLEARN], capture_output=True, text=True, check=True).stdout
    assert told == 'FewShotClassifier needs the package scikit-learn: pip install "fewstep[sklearn]"\n'


# A folder


def test_the_folder_of_a_run_serves_with_the_steps_of_its_own_test(tmp_path: Path):
    recipe = shrunken(find("strokes-5w1s-maml"))
    settings = {"training": Training(updates=1, meta_batch=2, validation_tasks=2), "evaluation": Evaluation(steps=2)}
    created = experiment.create(
        recipe.__class__(**{**vars(recipe), **settings}), tmp_path / "run", data_root=tmp_path, mapping=Mapping()
    )
    run = experiment.train(created)
    task = created.built.splits.test.sample(0, "test", 0, 1).select(0)
    x, y, queries = task.support.x.numpy(), task.support.y.numpy(), task.query.x.numpy()
    found = FewShotClassifier(str(tmp_path / "run")).fit(x.reshape(len(x), -1), y).predict_proba(queries)
    np.testing.assert_array_equal(found, FewShotClassifier(run, steps=2).fit(x, y).predict_proba(queries))
    assert not np.array_equal(found, FewShotClassifier(run, steps=1).fit(x, y).predict_proba(queries))
