import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewstep import recipes
from fewstep.algorithms.maml import MAML
from fewstep.evaluation import Evaluation
from fewstep.inner.adagrad import Adagrad
from fewstep.mapping import Mapping, Workers
from fewstep.nets.conv4 import Conv4
from fewstep.nets.imported import Imported
from fewstep.nets.mlp import MLP
from fewstep.recipe import Recipe, build, from_json, identity_of, to_json
from fewstep.recipes import shipped
from fewstep.tasks import image_store
from fewstep.tasks.augmentation import Augmentation
from fewstep.tasks.images import ImageFolder
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.split_contents import SPLITS, Contents, Piece
from fewstep.training import Training, outer_optimizer, updates
from run_builders import shrunken

OWN = Recipe(
    name="own",
    train_tasks=ImageFolder(folder="birds", color="L"),
    test_tasks=ImageFolder(folder="birds", color="L"),
    net=Imported(path="my_module:Net"),
    norm="support",
    algorithm=MAML(inner_lr=0.1, optimizer=Adagrad(eps_inside=0.7), learn_inner_lr=True),
    augmentation=Augmentation(rotations=True, crop=2),
    training=Training(clip_value=10.0, schedule="cosine"),
)
"""What no named recipe has."""
EVERY = [*recipes.ALL, OWN]

PUBLISHED = {  # inner rate on the mean loss, training steps, order, test steps, meta-batch, updates: algorithms.md
    "omniglot-5w1s-maml": (2.0, 1, 2, 3, 32, 60000),  # 0.4 on 5 × the mean
    "omniglot-5w1s-fomaml": (2.0, 1, 1, 3, 32, 60000),
    "omniglot-20w1s-maml": (2.0, 5, 2, 5, 16, 60000),  # 0.1 on 20 × the mean
    "mini-imagenet-5w1s-maml": (0.05, 5, 2, 10, 4, 60000),  # 0.01 on 5 × the mean
    "mini-imagenet-5w1s-fomaml": (0.05, 5, 1, 10, 4, 60000),
    "mini-imagenet-5w5s-maml": (0.05, 5, 2, 10, 2, 60000),
    "course-5w1s-maml": (0.4, 1, 2, 3, 32, 800),  # 40 epochs of 3200 / 5 / 32 = 20 updates
    "course-5w1s-fomaml": (0.4, 1, 1, 3, 32, 800),
    "course-sinusoid-5s-maml": (0.01, 1, 2, 10, 10, None),
    "course-sinusoid-5s-fomaml": (0.01, 1, 1, 10, 10, None),
    "sinusoid-10s-maml": (0.01, 1, 2, 10, 25, None),  # of the paper's 70000 updates fewer: our choice
    "sinusoid-10s-fomaml": (0.01, 1, 1, 10, 25, None),
}


@pytest.fixture(scope="session")
def small_mini_imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with five classes of twenty images in every split: of noise, and smaller than the real ones."""
    root = tmp_path_factory.mktemp("root")
    noise = np.random.default_rng(0).integers(256, size=(100, 16, 16, 3), dtype=np.uint8)
    classes = {split: [(f"{split}/{i}", 20) for i in range(5)] for split in SPLITS}
    contents = Contents(classes, lambda: iter(Piece(split, np.arange(100), noise) for split in SPLITS))
    image_store.store(contents, 16, root / "mini-imagenet")
    return root


def needs_omniglot(recipe: Recipe) -> bool:
    return any(isinstance(tasks, Omniglot) for tasks in (recipe.train_tasks, recipe.test_tasks))


def named(chosen: list[Recipe]) -> list[Any]:
    return [pytest.param(recipe, id=recipe.name) for recipe in chosen]


def leaves(values: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every plain value in nested dicts and lists."""
    if not isinstance(values, dict | list):
        return [at]
    items = values.items() if isinstance(values, dict) else enumerate(values)
    return [path for key, value in items for path in leaves(value, (*at, key))]


def changed(values: Any, at: tuple[Any, ...]) -> Any:
    """A copy of `values` with another value at one place."""
    copy = json.loads(json.dumps(values))
    part = copy
    for key in at[:-1]:
        part = part[key]
    old = part[at[-1]]
    part[at[-1]] = f"{old}x" if isinstance(old, str) else not old if isinstance(old, bool) else (old or 0) + 1
    return copy


@pytest.mark.parametrize("recipe", named(EVERY))
def test_a_recipe_goes_through_json_and_back(recipe):
    again = from_json(json.loads(json.dumps(to_json(recipe))))
    assert again == recipe
    assert to_json(again) == to_json(recipe)


def test_names_are_unique_and_the_default_is_one_of_them():
    assert len({recipe.name for recipe in recipes.ALL}) == len(recipes.ALL)
    assert recipes.find(recipes.DEFAULT).name == recipes.DEFAULT
    assert all(recipe.about for recipe in recipes.ALL)


def test_an_unknown_field_is_an_error_that_names_it_and_those_that_there_are():
    values = to_json(OWN)
    values["algorithm"]["inner_learning_rate"] = 0.1
    with pytest.raises(ValueError, match=r"recipe\.algorithm: MAML has no field \['inner_learning_rate'\].*'inner_lr'"):
        from_json(values)


def test_an_unknown_kind_is_an_error_that_names_it_and_those_that_there_are():
    values = to_json(OWN)
    values["net"]["kind"] = "Transformer"
    with pytest.raises(
        ValueError, match=r"net: kind 'Transformer' is not one of \['Conv4', 'Imported', 'MLP', 'ResNet12'\]"
    ):
        from_json(values)


def test_a_kind_of_another_place_is_an_error():
    values = to_json(OWN)
    values["net"] = to_json(Training())
    with pytest.raises(ValueError, match="kind 'Training' is not one of"):
        from_json(values)


@pytest.mark.parametrize("field", ["train_tasks", "algorithm", "name"])
def test_a_missing_field_is_an_error_that_names_it(field):
    values = to_json(OWN)
    del values[field]
    with pytest.raises(ValueError, match=f"not a recipe of this fewstep: .*{field}"):
        from_json(values)


def test_a_missing_kind_is_an_error():
    values = to_json(OWN)
    del values["net"]["kind"]
    with pytest.raises(ValueError, match="not a recipe of this fewstep"):
        from_json(values)


@pytest.mark.parametrize("values", [[], "recipe", 3, None])
def test_what_is_no_recipe_at_all_is_an_error(values):
    with pytest.raises(ValueError, match="recipe"):
        from_json(values)


@pytest.mark.parametrize("recipe", named([OWN, recipes.find("sinusoid-10s-maml")]))
def test_the_digest_changes_with_every_field_and_the_seed(recipe):
    values = to_json(recipe)
    others = [identity_of(changed(values, at), 0) for at in leaves(values)]
    digests = [identity_of(values, 0), identity_of(values, 1), *others]
    assert len(set(digests)) == len(digests) > 25


def test_the_digest_is_stable_and_does_not_depend_on_the_order_of_fields():
    values = to_json(OWN)
    assert identity_of(values, 0) == identity_of(dict(reversed(values.items())), 0) == identity_of(to_json(OWN), 0)


def test_a_recipe_without_augmentation_is_written_as_before_there_was_any_and_read_either_way():
    plain = dataclasses.replace(OWN, augmentation=Augmentation())
    written = to_json(plain)
    assert "augmentation" not in written
    assert from_json(written) == from_json({**written, "augmentation": to_json(Augmentation())}) == plain


def test_only_training_tasks_are_augmented(tmp_path):
    plain = shrunken(recipes.find("strokes-5w1s-maml"))
    turned = dataclasses.replace(plain, augmentation=Augmentation(rotations=True, noise=0.1))
    before, after = (build(recipe, tmp_path, 0).splits for recipe in (plain, turned))
    assert len(after.train.source.classes) == 4 * len(before.train.classes)
    assert type(after.val) is type(after.test) is type(before.test)
    assert (after.val.classes, after.test.classes) == (before.val.classes, before.test.classes)
    assert after.summary["train"]["augmentation"]["noise"] == 0.1


@pytest.mark.parametrize(
    ("typed", "nearest"), [("strokes-5w1s-mamml", "strokes-5w1s-maml"), ("sinusoid-maml", "sinusoid-10s-maml")]
)
def test_a_name_that_does_not_exist_is_an_error_with_the_nearest(typed, nearest):
    with pytest.raises(ValueError, match=f"there is no recipe '{typed}'; did you mean '{nearest}'"):
        recipes.find(typed)


@pytest.mark.parametrize("name", PUBLISHED)
def test_constants_are_those_published(name):
    recipe = recipes.find(name)
    settings = (recipe.algorithm.inner_lr, recipe.algorithm.inner_steps, recipe.algorithm.order)
    outer = (recipe.evaluation.steps, recipe.training.meta_batch, PUBLISHED[name][5] and recipe.training.updates)
    assert settings + outer == PUBLISHED[name]
    assert recipe.training.lr == 1e-3
    assert recipe.training.schedule == "constant"
    assert recipe.norm == "transductive"


def test_protocols_and_nets_are_those_published():
    kinds = {"maml": ("finn", 64, "stride", 600), "fomaml": ("finn", 64, "stride", 600)}
    kinds |= {"mamlpp": ("mamlpp", 64, "pool", 600), "reptile": ("reptile", 64, "stride_flatten", 10000)}
    kinds |= {"fast": ("vinyals", 48, "stride_flatten", 1000), "best": ("finn", 64, "pool", 1000)}  # ours
    kinds |= dict.fromkeys(("anil", "boil", "metasgd", "imaml", "cavia", "alfa"), kinds["maml"])
    kinds |= dict.fromkeys(("protonet", "matchingnet"), ("vinyals", 64, "pool", 1000))
    for recipe in recipes.ALL:
        if recipe.name.startswith("omniglot-") and recipe not in shipped.RECIPES:
            found = (recipe.train_tasks.protocol, recipe.net.filters, recipe.net.downsample, recipe.evaluation.tasks)
            assert found == kinds[recipe.name.split("-")[2]]
            ways, shots = recipe.name.split("-")[1].removesuffix("s").split("w")
            assert (recipe.test_tasks.ways, recipe.test_tasks.shots) == (int(ways), int(shots))
        if recipe.name.startswith("mini-imagenet-5w"):
            assert (recipe.net, recipe.training.clip_value) == (Conv4(filters=32, downsample="pool"), 10.0)
            assert (recipe.train_tasks.queries, recipe.evaluation.tasks) == (15, 600)
            assert f"5w{recipe.test_tasks.shots}s" in recipe.name
        if recipe.name.startswith("course-5w1s"):
            assert (recipe.train_tasks.protocol, recipe.net.filters, recipe.net.downsample) == ("course", 64, "pool")
        if "sinusoid" in recipe.name:
            assert recipe.loss == "mean_squared_error"
            phases = 2 * math.pi if recipe.name.startswith("course") else math.pi
            assert recipe.train_tasks.phase == (0.0, phases)
            points = 5 if recipe.name.startswith("course") else 10
            assert (recipe.test_tasks.shots, recipe.test_tasks.queries) == (points, points)
            is_reptile = recipe.name.endswith("reptile")
            assert recipe.net == (MLP(hidden=(64, 64), activation="tanh") if is_reptile else MLP(hidden=(40, 40)))


@pytest.mark.parametrize("name", ["5w1s", "5w5s", "20w1s", "20w5s"])
def test_prototypical_networks_train_on_sixty_ways_and_matching_networks_on_those_of_the_test(name):
    ways, shots = (int(number) for number in name.removesuffix("s").split("w"))
    for kind, trained_on in (("protonet", 60), ("matchingnet", ways)):
        recipe = recipes.find(f"omniglot-{name}-{kind}")
        train, test = recipe.train_tasks, recipe.test_tasks
        assert (train.ways, train.shots, train.queries) == (trained_on, shots, 5)
        assert (test.ways, test.shots, recipe.evaluation.steps) == (ways, shots, 0)


def test_every_recipe_of_the_budget_is_tested_alike():
    family = [recipe for recipe in recipes.ALL if recipe.name.startswith("budget-5w1s-")]
    wanted = (Omniglot(protocol="vinyals", ways=5, shots=1, queries=5), 1000)
    assert {(recipe.test_tasks, recipe.evaluation.tasks) for recipe in family} == {wanted}
    assert len(family) >= 5


@pytest.mark.parametrize("ways", [5, 20])
@pytest.mark.parametrize("shots", [1, 5])
def test_the_constants_of_reptile_are_those_of_supervised_reptile(ways, shots):
    recipe, wide = recipes.find(f"omniglot-{ways}w{shots}s-reptile"), ways == 20
    algorithm, outer, test = recipe.algorithm, recipe.training, recipe.evaluation
    inner = (algorithm.inner_lr, algorithm.inner_steps, algorithm.inner_batch, recipe.train_tasks.shots)
    assert inner == ((5e-4, 10, 20, 10) if wide else (1e-3, 5, 10, 10))
    assert (algorithm.optimizer.beta1, algorithm.optimizer.beta2, algorithm.persistent_slots) == (0.0, 0.999, True)
    assert (outer.updates, outer.meta_batch, outer.optimizer) == (200000 if wide else 100000, 5, "sgd")
    assert [outer.rate(0), outer.rate(outer.updates // 2), outer.rate(outer.updates)] == [1.0, 0.5, 0.0]
    assert (test.steps, test.inner_batch, test.tasks) == (50, 10 if wide else 5, 10000)


@pytest.mark.parametrize("name", ["5w1s", "5w5s", "20w1s", "20w5s"])
def test_the_constants_of_maml_plus_plus_are_those_of_its_paper(name):
    recipe = recipes.find(f"omniglot-{name}-mamlpp")
    algorithm, outer = recipe.algorithm, recipe.training
    assert (algorithm.inner_lr, algorithm.inner_steps, algorithm.order) == (0.1, 5, 2)
    assert algorithm.learn_inner_lr
    assert algorithm.per_step_norm
    assert recipe.norm == "per_step"
    assert algorithm.loss_weights(10 * 500 - 1)[-1] < 1 == algorithm.loss_weights(10 * 500)[-1]
    assert [algorithm.order_at(51 * 500 - 1), algorithm.order_at(51 * 500)] == [1, 2]
    assert (outer.updates, outer.meta_batch, outer.schedule, outer.final_lr) == (100 * 500, 8, "cosine", 1e-5)
    assert recipe.net.activation == "leaky_relu"


def test_the_official_quirks_of_maml_plus_plus_are_a_recipe_of_their_own():
    own, official = (recipes.find(f"omniglot-5w1s-mamlpp{suffix}") for suffix in ("", "-official"))
    assert (own.norm, own.evaluation.ensemble) == ("per_step", 1)
    assert (official.norm, official.evaluation.ensemble) == ("transductive", 5)
    assert official.algorithm == own.algorithm


def test_the_course_tests_its_sinusoids_with_ten_steps_of_a_thousandth():
    evaluation = recipes.find("course-sinusoid-5s-maml").evaluation
    assert (evaluation.steps, evaluation.inner_lr) == (10, 0.001)


@pytest.mark.parametrize("recipe", named(list(recipes.ALL)))
def test_every_recipe_takes_an_update_with_a_finite_loss(recipe, request):
    root = request.getfixturevalue("real_data" if needs_omniglot(recipe) else "small_mini_imagenet")
    small = shrunken(recipe)
    learner, splits = build(small, root, seed=0)
    optimizer = outer_optimizer(learner.meta, small.training)
    before = [tensor.clone() for tensor in learner.parameters()]
    with Workers(learner.model, Mapping()) as workers:
        progress = next(updates(learner, splits.train, small.training, optimizer, workers))
    assert math.isfinite(progress.loss)
    assert any((a != b).any() for a, b in zip(before, learner.parameters(), strict=True))
    assert splits.test.sample(0, "test", 0, 1).query.x.shape[2:] == splits.train.inputs


def test_a_recipe_without_its_data_is_one_error_that_says_what_to_download(tmp_path):
    with pytest.raises(
        ValueError, match=r"mini-imagenet is not in .*: download .*`fewstep data import mini-imagenet PATH`"
    ):
        build(recipes.find("mini-imagenet-5w1s-maml"), tmp_path, 0)


def test_two_builds_of_a_seed_start_alike_and_another_seed_otherwise(tmp_path):
    recipe = recipes.find("sinusoid-10s-maml")
    first, again, other = (build(recipe, tmp_path, seed).learner.parameters()[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_train_and_test_tasks_of_different_ways_are_an_error(tmp_path):
    recipe = shrunken(recipes.find("strokes-5w1s-maml"))
    recipe = dataclasses.replace(recipe, test_tasks=dataclasses.replace(recipe.test_tasks, ways=4))
    with pytest.raises(ValueError, match="train tasks have 5 ways, test tasks 4"):
        build(recipe, tmp_path, 0)


def test_train_and_test_inputs_of_different_shapes_are_an_error(tmp_path):
    recipe = shrunken(recipes.find("strokes-5w1s-maml"))
    recipe = dataclasses.replace(recipe, test_tasks=recipes.find("sinusoid-10s-maml").test_tasks)
    with pytest.raises(ValueError, match=r"inputs of shape \(1, 28, 28\), test tasks \(1,\)"):
        build(recipe, tmp_path, 0)


def test_validation_mirrors_the_test_where_the_test_tasks_have_a_val_split(tmp_path):
    recipe = shrunken(recipes.find("strokes-5w1s-maml"))
    fewer = dataclasses.replace(recipe, test_tasks=dataclasses.replace(recipe.test_tasks, queries=3))
    splits = build(fewer, tmp_path, 0).splits
    assert [tasks.queries for tasks in splits[:3]] == [1, 3, 3]
    assert [tasks.split for tasks in splits[:3]] == ["train", "val", "test"]


def test_a_loss_that_does_not_fit_the_targets_is_an_error(tmp_path):
    sinusoid, strokes = recipes.find("sinusoid-10s-maml"), shrunken(recipes.find("strokes-5w1s-maml"))
    with pytest.raises(ValueError, match="targets of these tasks are values: set loss='mean_squared_error'"):
        build(dataclasses.replace(sinusoid, loss="mean_cross_entropy"), tmp_path, 0)
    with pytest.raises(ValueError, match="targets of these tasks are class ids: set loss='mean_cross_entropy'"):
        build(dataclasses.replace(strokes, loss="mean_squared_error"), tmp_path, 0)


@pytest.mark.omniglot
def test_validation_is_on_the_training_tasks_where_the_test_tasks_have_no_val_split(real_data):
    splits = build(shrunken(recipes.find("strokes-to-omniglot-5w1s-maml")), real_data, 0).splits
    assert splits.val.class_names[0].startswith("alphabet")
    assert splits.test.class_names[0].startswith("evaluation/")


def test_a_number_that_no_run_folder_could_be_read_with_is_refused_before_anything_is_built(tmp_path):
    recipe = dataclasses.replace(recipes.find("sinusoid-10s-maml"), algorithm=MAML(inner_lr=float("nan")))
    with pytest.raises(ValueError, match=r"recipe\.algorithm\.inner_lr is nan, expected a finite number"):
        build(recipe, tmp_path, 0)


def test_steps_without_end_are_refused():
    with pytest.raises(ValueError, match="inner_steps=1000000000000: expected 100000 or fewer"):
        MAML(inner_lr=0.1, inner_steps=10**12)
    with pytest.raises(ValueError, match=r"evaluation\.steps=1000000000000: expected 100000 or fewer"):
        Evaluation(steps=10**12)
