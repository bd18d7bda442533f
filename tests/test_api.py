import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

import fewstep
from fewstep.journal import BEST, METRICS, checkpoints
from fewstep.lock import locked
from fewstep.seeding import seeded
from fewstep.tasks.splits import Splits
from run_builders import identical, pattern_tasks

SHAPES = ("ellipse", "rectangle", "line", "chord")


class Net(nn.Module):
    """A user's own, with names of their own."""

    def __init__(self, outputs: int = 5) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.normalise = nn.BatchNorm2d(8)
        self.classify = nn.Linear(8 * 4 * 4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.normalise(self.features(x)))
        return self.classify(torch.nn.functional.avg_pool2d(x, 2).flatten(1))


def net(outputs: int = 5) -> Net:
    with seeded(0, "test"):
        return Net(outputs)


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> Path:
    """20 classes of 6 pictures: a shape in a colour on noise."""
    root, rng = tmp_path_factory.mktemp("birds"), np.random.default_rng(0)
    for c in range(20):
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        (root / f"bird{c:02d}").mkdir()
        for m in range(6):
            image = Image.fromarray(rng.integers(90, 160, (20, 24, 3), dtype=np.uint8))
            box = (*(int(v) for v in rng.integers(1, 6, 2)), *(int(v) for v in rng.integers(14, 19, 2)))
            angles = (30, 200) if SHAPES[c % 4] == "chord" else ()
            getattr(ImageDraw.Draw(image), SHAPES[c % 4])(box, *angles, fill=color)
            image.save(root / f"bird{c:02d}" / f"{m}.png")
    return root


@pytest.fixture(scope="module")
def tasks(birds) -> Splits:
    return fewstep.Images.from_folder(birds, size=16).tasks(ways=5, shots=1, queries=5)


@pytest.fixture(scope="module")
def run(tasks) -> fewstep.run.Run:
    return fewstep.train(net(), fewstep.MAML(inner_lr=0.4), tasks, updates=20, mapping=fewstep.Mapping())


def test_the_designs_ten_lines_run_as_printed(birds):
    tasks = fewstep.Images.from_folder(birds, size=16).tasks(ways=5, shots=1, queries=5)
    run = fewstep.train(net(), fewstep.MAML(inner_lr=0.4), tasks, updates=20)
    result = fewstep.evaluate(run, tasks.test, count=50)
    model = fewstep.adapt(run, (task := tasks.test.sample(0, "use", 0, 1).select(0)).support)
    assert (result.tasks, result.queries, len(result.at_step)) == (50, 25, 2)
    assert str(result).endswith("(95 % CI, 50 tasks × 25 queries, seed 0, transductive, 1 step)")
    assert model(task.query.x).shape == (25, 5)


def test_learning_learns(tasks, run):
    untrained = fewstep.learner_of(net(), fewstep.MAML(inner_lr=0.4))
    before, after = (fewstep.evaluate(learner, tasks.test, count=50).score.mean for learner in (untrained, run))
    assert after > max(before, 0.2 + 0.1)  # chance is 0.2; ± 0.02 by 50 tasks × 25 queries


def test_the_users_net_is_untouched(tasks):
    mine = net()
    mine.eval()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    fewstep.train(mine, fewstep.MAML(inner_lr=0.4), tasks, updates=2, mapping=fewstep.Mapping())
    assert not mine.training
    assert all(torch.equal(mine.state_dict()[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in mine.parameters())


def test_an_adapted_model_is_the_users_own_class_in_eval_mode_with_the_users_names(tasks, run):
    model = fewstep.adapt(run, tasks.test.sample(0, "use", 0, 1).select(0).support)
    assert type(model) is Net
    assert not model.training
    assert model.state_dict().keys() == net().state_dict().keys()
    assert not any(value.requires_grad for value in model.state_dict().values())
    Net(5).load_state_dict(model.state_dict())


def test_an_adapted_model_predicts_one_by_one_as_together_and_changes_nothing(tasks, run):
    task = tasks.test.sample(0, "use", 0, 1).select(0)
    model = fewstep.adapt(run, task.support)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    together = model(task.query.x)
    alone = torch.cat([model(x[None]) for x in task.query.x])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)


def test_adapted_parameters_are_plain_gradient_descent_from_the_learned_ones(tasks, run):
    support = tasks.test.sample(0, "use", 0, 1).select(0).support
    plain = net().train()
    plain.load_state_dict(run.learner.meta.learned["theta"], strict=False)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.4)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(plain(support.x), support.y).backward()
        optimizer.step()
    adapted = dict(fewstep.adapt(run, support, steps=3).named_parameters())
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(adapted[name], parameter, rtol=1e-3, atol=1e-5, check_stride=False)


def test_under_the_policy_support_the_adapted_model_is_the_learner(tasks):
    run = fewstep.train(net(), fewstep.MAML(inner_lr=0.4), tasks, updates=3, norm="support", mapping=fewstep.Mapping())
    for i in range(3):
        task = tasks.test.sample(0, "use", i, 1).select(0)
        expected = run.learner.predict(run.learner.adapt(task.support), task.query.x)
        torch.testing.assert_close(fewstep.adapt(run, task.support)(task.query.x), expected, rtol=1e-3, atol=1e-4)
    assert "support statistics" in str(fewstep.evaluate(run, tasks.test, count=4))


def test_a_run_with_a_folder_is_resumed_to_the_same_learner(tasks, tmp_path):
    def train(**options: object) -> fewstep.run.Run:
        mapping, training = fewstep.Mapping(), fewstep.Training(updates=3, meta_batch=2)
        return fewstep.train(net(), fewstep.MAML(inner_lr=0.4), tasks, training=training, mapping=mapping, **options)

    stopped = train(out=tmp_path / "run", minutes=0)
    assert (stopped.status, stopped.update) == ("out of time", 1)
    resumed, whole = train(out=tmp_path / "run"), train()
    assert (resumed.status, resumed.update) == ("finished", 3)
    assert identical(resumed.learner.meta, whole.learner.meta)
    assert {METRICS, checkpoints(tmp_path / "run")[-1].name} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_a_folder_of_another_algorithm_is_refused(tasks, tmp_path):
    settings = {"training": fewstep.Training(updates=1, meta_batch=2), "mapping": fewstep.Mapping(), "out": tmp_path}
    fewstep.train(net(), fewstep.MAML(inner_lr=0.4), tasks, **settings)
    with pytest.raises(ValueError, match="another recipe, net, tasks or seed"):
        fewstep.train(net(), fewstep.MAML(inner_lr=0.5), tasks, **settings)


def test_training_selects_by_validation_where_there_are_enough_classes_for_it(birds, tmp_path):
    tasks = fewstep.Images.from_folder(birds, size=16).tasks(ways=3, shots=1, queries=3)
    training = fewstep.Training(updates=4, meta_batch=2, validate_every=1, validation_tasks=4)
    algorithm = fewstep.MAML(inner_lr=0.4)
    run = fewstep.train(net(3), algorithm, tasks, training=training, mapping=fewstep.Mapping(), out=tmp_path)
    assert [row["update"] for row in run.history if row["kind"] == "validation"] == [1, 2, 3, 4]
    assert (tmp_path / BEST).exists()


def test_a_net_of_the_wrong_width_is_an_error_before_any_training(tasks):
    with pytest.raises(ValueError, match=r"the net's output has shape \[5, 7\], but the tasks have 5 ways.*5 outputs"):
        fewstep.train(net(7), fewstep.MAML(inner_lr=0.4), tasks, updates=1)


def test_a_net_without_parameters_is_an_error(tasks):
    with pytest.raises(ValueError, match="Flatten has no parameter that requires a gradient"):
        fewstep.train(nn.Flatten(), fewstep.MAML(inner_lr=0.4), tasks, updates=1)


@pytest.mark.parametrize("option", [{"norm": "suport"}, {"loss": "cross_entropy"}])
def test_a_misspelt_policy_or_loss_is_an_error_and_not_another_policy(option):
    with pytest.raises(ValueError, match=next(iter(option.values()))):
        fewstep.learner_of(net(), fewstep.MAML(inner_lr=0.4), **option)


def test_a_misspelt_protocol_is_an_error_with_those_that_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"vinyal\b.*vinyals"):
        fewstep.Omniglot(protocol="vinyal").build(tmp_path)


def test_audit_measures_the_order_of_what_was_trained(tasks, run):
    card = fewstep.audit(run, tasks)
    assert card.passed
    assert card.order == 2


def test_evaluate_changes_nothing_and_gives_the_same_twice(tasks, run):
    before = {name: value.clone() for name, value in run.learner.meta.learned["theta"].items()}
    first, second = (fewstep.evaluate(run, tasks.test, count=10, steps=2, seed=5) for _ in range(2))
    assert first == second
    assert first != fewstep.evaluate(run, tasks.test, count=10, steps=2, seed=6)
    assert all(torch.equal(run.learner.meta.learned["theta"][name], before[name]) for name in before)


def test_regression_with_a_net_of_ones_own():
    sinusoids = fewstep.Sinusoid(shots=5, queries=5).build(Path("unused"))
    mine = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    training = fewstep.Training(updates=2, meta_batch=2, validation_tasks=2)
    run = fewstep.train(mine, fewstep.MAML(inner_lr=0.01), sinusoids, training=training, loss="mean_squared_error")
    result = fewstep.evaluate(run, sinusoids.test, count=3, steps=4)
    assert str(result).startswith("MSE ")
    assert len(result.at_step) == 5


def test_tasks_of_ones_own_need_only_a_few_names():
    own = Splits(pattern_tasks(), None, pattern_tasks("test"), {})
    training = fewstep.Training(updates=1, meta_batch=2)
    mine = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    run = fewstep.train(mine, fewstep.MAML(inner_lr=0.1), own, training=training, mapping=fewstep.Mapping())
    assert run.update == 1


def test_importing_the_package_imports_no_torch():
    told = "import sys, fewstep; print('torch' in sys.modules, 'numpy' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]


def test_every_public_name_is_there_and_another_is_an_attribute_error():
    assert all(getattr(fewstep, name) is not None for name in fewstep.__all__)
    with pytest.raises(AttributeError, match="module 'fewstep' has no attribute 'MAMLL'"):
        fewstep.MAMLL  # noqa: B018


PATTERNS = Splits(pattern_tasks(), pattern_tasks("val"), pattern_tasks("test"), {})
TWO = fewstep.Training(updates=2, meta_batch=2, validate_every=1, validation_tasks=2)


class Drops(nn.Module):
    """Drops half of the features by a function, so that no layer says it draws random numbers."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share, self.hidden, self.head = share, nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.hidden(x.flatten(1)))
        return self.head(torch.nn.functional.dropout(x, self.share, self.training))


class Pair(nn.Linear):
    """Returns features beside its logits."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, super().forward(x.flatten(1))


def linear() -> nn.Sequential:
    with seeded(0, "test"):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def trained_on_patterns(mine: nn.Module, **options: object) -> fewstep.run.Run:
    options = {"training": TWO, **options}
    return fewstep.train(mine, fewstep.MAML(inner_lr=0.1), PATTERNS, **options)


def test_a_net_that_drops_by_a_function_learns_the_same_whatever_the_global_numbers_are():
    def train(share: float, global_seed: int) -> fewstep.run.Run:
        with seeded(0, "test"):
            mine = Drops(share)
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        run = trained_on_patterns(mine)
        assert torch.equal(torch.get_rng_state(), before)
        return run

    first, again, kept = train(0.5, 1), train(0.5, 2), train(0.0, 1)
    assert first.mapping == fewstep.Mapping()
    assert identical(first.learner.meta, again.learner.meta)
    assert not identical(first.learner.meta, kept.learner.meta)


def test_a_loss_that_does_not_fit_the_targets_is_an_error_before_any_training(tasks, tmp_path):
    sinusoids, algorithm = fewstep.Sinusoid().build(), fewstep.MAML(inner_lr=0.1)
    with pytest.raises(ValueError, match="set loss='mean_squared_error'"):
        fewstep.train(nn.Linear(1, 1), algorithm, sinusoids, out=tmp_path / "run")
    with pytest.raises(ValueError, match="set loss='mean_cross_entropy'"):
        fewstep.train(net(), algorithm, tasks, loss="mean_squared_error", out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_updates_go_before_those_of_training():
    assert trained_on_patterns(linear(), updates=3).update == 3
    assert trained_on_patterns(linear()).update == TWO.updates


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_lazy_net_trains_and_the_users_own_stays_uninitialised():
    mine = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    run = trained_on_patterns(mine)
    assert all(is_lazy(parameter) for parameter in mine.parameters())
    assert run.learner.meta.learned["theta"]["1.weight"].shape == (3, 16)
    task = PATTERNS.test.sample(0, "use", 0, 1).select(0)
    assert fewstep.adapt(run, task.support)(task.query.x).shape == (6, 3)


def test_a_net_that_returns_a_tuple_is_an_error_that_says_what_was_expected():
    with pytest.raises(ValueError, match="the net returned a tuple, expected one tensor"):
        trained_on_patterns(Pair(16, 3))


def test_tasks_that_are_not_built_are_an_error_that_says_how_to_build_them():
    with pytest.raises(ValueError, match=r"tasks is a Strokes, expected train, val and test tasks: its `\.build\(\)`"):
        fewstep.train(linear(), fewstep.MAML(inner_lr=0.1), fewstep.Strokes(), updates=1)


def test_see_receives_every_row_as_it_is_logged():
    seen = []
    run = trained_on_patterns(linear(), see=seen.append)
    assert seen == run.history
    assert [(row["kind"], row["update"]) for row in seen] == [
        ("train", 1),
        ("validation", 1),
        ("train", 2),
        ("validation", 2),
    ]


def test_the_log_of_a_run_with_a_folder_begins_with_its_audit_also_when_resumed(tmp_path):
    for minutes in (0, None):
        trained_on_patterns(linear(), out=tmp_path, mapping=fewstep.Mapping(), minutes=minutes)
        first, *rest = (json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines())
        assert (first["kind"], first["update"]) == ("audit", 0)
        assert first["checks"][0]["name"] == "derivative order"
        assert "audit" not in {row["kind"] for row in rest}


def test_a_folder_that_another_process_trains_in_is_refused_and_unchanged(tmp_path):
    (tmp_path / METRICS).write_text('{"kind": "train", "update": 1}\n')
    with locked(tmp_path), pytest.raises(ValueError, match="another process is training in"):
        trained_on_patterns(linear(), out=tmp_path, mapping=fewstep.Mapping())
    assert (tmp_path / METRICS).read_text() == '{"kind": "train", "update": 1}\n'
