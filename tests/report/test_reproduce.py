import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from fewstep import cli, recipes
from fewstep.algorithms.maml import MAML
from fewstep.inner.adagrad import Adagrad
from fewstep.inner.adam import Adam
from fewstep.inner.momentum import Momentum
from fewstep.inner.rmsprop import RMSprop
from fewstep.nets.conv4 import Conv4
from fewstep.nets.imported import Imported
from fewstep.nets.mlp import MLP
from fewstep.recipe import Recipe, to_json
from fewstep.report.reproduce import overrides, resume_command, train_command
from fewstep.tasks.sinusoid import Sinusoid

SINUSOID = recipes.find("sinusoid-10s-maml")
CHANGED = {
    "nothing": SINUSOID,
    "numbers": replace(SINUSOID, training=replace(SINUSOID.training, updates=7, lr=1e-05, clip_value=10.0)),
    "a flag": replace(SINUSOID, algorithm=MAML(inner_lr=0.02, learn_inner_lr=True)),
    "lists": replace(SINUSOID, net=MLP(hidden=(3, 4)), test_tasks=Sinusoid(phase=(0.0, 1.0))),
    "Adagrad": replace(SINUSOID, algorithm=MAML(inner_lr=0.01, optimizer=Adagrad(eps_outside=0.5))),
    "Momentum": replace(SINUSOID, algorithm=MAML(inner_lr=0.01, optimizer=Momentum(nesterov=True))),
    "RMSprop": replace(SINUSOID, algorithm=MAML(inner_lr=0.01, optimizer=RMSprop(eps_inside=1e-5))),
    "rates of groups": replace(SINUSOID, algorithm=MAML(inner_lr=0.01, inner_lr_of=(("1.", 0.02), ("3.", 0.03)))),
    "Adam": replace(SINUSOID, algorithm=MAML(inner_lr=0.01, optimizer=Adam(beta1=0.0))),
}


@pytest.mark.parametrize("recipe", CHANGED.values(), ids=CHANGED)
def test_printed_command_resolves_to_the_very_recipe(recipe: Recipe, sinusoid_run, capsys):
    command = train_command(replace(sinusoid_run.experiment, recipe=recipe))
    words = shlex.split((command or "").replace("\\\n", ""))
    assert words[:5] == ["fewstep", "train", recipe.name, "--seed", "3"]
    assert cli.main([*words[1:], "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == json.loads(json.dumps(to_json(recipe)))


def test_nets_of_another_kind_are_named():
    images = recipes.find("strokes-5w1s-maml")
    assert overrides(replace(images, net=Imported(path="mine:Net"))) == [["--net", "mine:Net"]]
    mlp = [["--net", "mlp"], ["--net.hidden", "5", "6"], ["--net.activation", "relu"]]
    assert overrides(replace(images, net=MLP(hidden=(5, 6)))) == mlp


def test_recipe_that_the_command_line_cannot_name_has_no_command(sinusoid_run):
    unknown = replace(SINUSOID, name="mine")
    other_tasks = replace(recipes.find("strokes-5w1s-maml"), train_tasks=Sinusoid(), net=Conv4())
    assert overrides(unknown) is None
    assert overrides(other_tasks) is None
    assert train_command(replace(sinusoid_run.experiment, recipe=unknown)) is None


def test_a_run_of_several_processes_is_repeated_and_continued_by_as_many(sinusoid_run):
    command = train_command(replace(sinusoid_run.experiment, begun_with=2))
    assert command.startswith("torchrun --standalone --nproc-per-node 2 -m fewstep train sinusoid-10s-maml --seed 3")
    assert resume_command(Path("a"), 2) == "torchrun --standalone --nproc-per-node 2 -m fewstep resume a"


def test_folder_with_a_space_is_quoted():
    assert resume_command(Path("my runs/a")) == "fewstep resume 'my runs/a'"
