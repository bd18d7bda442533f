"""What may import what: read from the source with ast, nothing is run."""

import ast
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import fewstep

ROOT = Path(fewstep.__file__).parent
MOST_LINES = 250

LAYERS = (
    "core allocation seeding card conforming digest importing durable formats lock log_rows nearest versions",
    "inner.rates inner.settings",
    "tasks.opened_image",
    "tasks.preprocessing tasks.restricted_pickle novelty exporting json_file tensor_file",
    "differentiation tracing result_file inner.optimizer inner.conjugate_gradient foreign.learner tasks.preflight",
    "nets.convolution nets.following nets.norm nets.conv4 nets.mlp nets.resnet12 nets.imported",
    "nets.weight_norm nets.attention",
    "nets.normalisation tasks.columns tasks.decoding",
    "nets.folded",
    "nets.*",
    "tasks.splits tasks.episodes tasks.protocols tasks.cache tasks.download tasks.stroke_geometry",
    "inner.sgd inner.momentum inner.adagrad inner.rmsprop inner.adam tasks.archive_members",
    "tasks.class_tasks tasks.arranging tasks.grouped",
    "model checkpoint ranks rebuilding tasks.omniglot_layout tasks.stroke_characters tasks.split_contents",
    "algorithm mapping torchrun inner.optimizers tasks.omniglot_archives tasks.stroke_drawing tasks.labelled",
    "tasks.tensors tasks.image_store tasks.published_pickles tasks.published_files",
    "inner.loop inner.support_step optimizer_state tasks.*",
    "inner.pulled tasks.class_ids",
    "inner.query_gradient inner.embedded",
    "algorithms.* learner",
    "evaluation derivative_order adapted divergence",
    "auditing foreign.bench",
    "foreign.order",
    "foreign.audit",
    "training",
    "autotune journal recipe memory",
    "recipes.* run run_folder tensorboard adapted_file learner_file",
    "recipes experiment",
    "record trained measured",
    "api comparison study",
    "estimator",
    "studies.*",
    "studies",
    "report.canvas report.shown_tasks report.reproduce report.contents report.picture",
    "report.template report.measures",
    "report.*",
    "report.page report.together",
    "report.study_tables",
    "report.study_json report.study_sections",
    "report.study_page report.compare_page study_runs study_post",
    "study_processes study_ray",
    "web.settings web.answers web.guard web.pages web.bending web.run_log web.drawings web.lessons",
    "web.run_folders web.run_answers",
    "web.run_words web.own_learners",
    "web.image_learners",
    "web.*",
    "web.app",
    "web.serving",
    "cli.kinds cli.options cli.progress",
    "cli.session",
    "cli.*",
    "cli",
    "__main__ exercise",
)
"""Lowest first. A module is in the first layer that names it without a star, else the first whose star fits it.

Imports point to lower layers, so the modules of one layer never import each other.
"""


@cache
def modules() -> dict[str, Path]:
    """Every module by its name below `fewstep`; packages that hold no more than a sentence are left out."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name and len(ast.parse(path.read_text()).body) > 1:
            found[name] = path
    return found


@cache
def imports_of(path: Path) -> set[str]:
    """The modules below `fewstep` that the file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "fewstep"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            if node.module and node.module.split(".")[0] == "fewstep":
                found |= {_module_of(node.module, alias.name) for alias in node.names}
    return {name.removeprefix("fewstep").removeprefix(".") for name in found}


def _module_of(module: str, name: str) -> str:
    """`from fewstep import seeding` imports `fewstep.seeding`; `from fewstep.core import Task` imports its module."""
    inside = ROOT.joinpath(*module.split(".")[1:], name)
    return f"{module}.{name}" if inside.is_dir() or inside.with_suffix(".py").exists() else module


def layer_of(module: str) -> int:
    layers = [layer.split() for layer in LAYERS]
    exact = [i for i, names in enumerate(layers) if module in names]
    starred = [i for i, names in enumerate(layers) if any("*" in name and fnmatch(module, name) for name in names)]
    assert exact + starred, f"fewstep.{module} is in no layer: add it to LAYERS in {Path(__file__).name}"
    return (exact + starred)[0]


def everything_imported(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after `code`."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", modules())
def test_imports_point_down_never_sideways(module: str):
    wrong = {other for other in imports_of(modules()[module]) if layer_of(other) >= layer_of(module)}
    assert not wrong, f"fewstep.{module} imports {', '.join(sorted(wrong))} of its own layer or of a higher one"


def test_there_is_no_import_cycle():
    tree = {module: imports_of(path) for module, path in modules().items()}
    assert len(list(TopologicalSorter(tree).static_order())) >= len(tree)


def test_every_name_in_the_table_of_layers_stands_for_a_module():
    names = [name for layer in LAYERS for name in layer.split()]
    dead = [name for name in names if not any(fnmatch(module, name) for module in modules())]
    assert not dead, f"LAYERS names {dead}, which do not exist"
    assert len(set(names)) == len(names)


def test_no_file_is_longer_than_250_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_the_test_of_layers_sees_imports_of_modules_and_of_names():
    """A guard on the reader of imports itself, by files of known imports."""
    assert {"core", "seeding", "inner.loop", "model", "nets.norm"} <= imports_of(ROOT / "learner.py")
    assert "tasks.omniglot_archives" in imports_of(ROOT / "tasks" / "omniglot.py")


@pytest.mark.parametrize("package", ["fewstep", "fewstep.cli"])
def test_importing_the_package_or_the_command_line_imports_nothing_heavy(package: str):
    heavy = {"torch", "numpy", "PIL", "matplotlib", "tyro", "rich", "jinja2", "ray", "sklearn", "tensorboard"}
    assert everything_imported(f"import {package}") & heavy == set()


def test_every_public_name_resolves_and_the_type_checker_sees_the_same_names():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    seen = {alias.asname for node in imports for alias in node.names}
    assert seen == set(fewstep.__all__)
    assert all(getattr(fewstep, name) is not None for name in fewstep.__all__)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        fewstep.Nonsense  # noqa: B018  # the access is the act


def test_a_module_of_the_package_is_not_hidden_by_a_public_name():
    assert not set(modules()) & set(fewstep.__all__)
