"""What the package is built on: versions pinned, and the oldest Python and torch that it says it runs on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    pytest.skip("reads pyproject.toml with tomllib", allow_module_level=True)
import tomllib
from torch_interfaces import interfaces_of

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTED = Path(__file__).with_name("torch_interfaces.txt")


def normalised(requirement: str) -> str:
    """The name alone, as packaging compares names (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def oldest_torch(extra: str | None) -> tuple[int, ...]:
    project = PROJECT["project"]
    requirements = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    bound = next(found for line in requirements if (found := re.fullmatch(r"torch>=([\d.]+)", line)))
    return tuple(map(int, bound[1].split(".")))


def test_every_dependency_that_pyproject_names_is_pinned():
    groups = [*PROJECT["project"]["optional-dependencies"].values(), PROJECT["project"]["dependencies"]]
    named = [*PROJECT["build-system"]["requires"], *(name for group in groups for name in group)]
    missing = {normalised(name) for name in named} - {normalised(pin) for pin in pins()} - {"fewstep"}
    assert not missing, f"constraints.txt does not pin {sorted(missing)}"


def test_pins_are_exact_each_once_and_bind_no_build_of_torch():
    assert [pin for pin in pins() if not re.fullmatch(r"[a-zA-Z0-9._-]+==[0-9a-z.]+", pin)] == []
    names = [normalised(pin) for pin in pins()]
    assert len(set(names)) == len(names)


def test_the_source_is_python_3_10():
    assert PROJECT["project"]["requires-python"] == ">=3.10"
    for path in SOURCES:
        ast.parse(path.read_text(), feature_version=(3, 10))


def test_the_source_uses_nothing_of_the_standard_library_that_is_newer_than_python_3_10(tmp_path):
    def oldest(*paths: Path) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            "from vermin import main; main()",
            "--no-tips",
            "--violations",
            "-t=3.10-",
            *map(str, paths),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = oldest(ROOT / "src" / "fewstep")
    assert found.returncode == 0, found.stdout
    (tmp_path / "newer.py").write_text("import tomllib\n")
    assert oldest(tmp_path / "newer.py").returncode == 1


def test_every_torch_interface_in_use_is_listed_with_its_release_and_older_than_the_bound():
    rows = [line.split() for line in LISTED.read_text().splitlines() if not line.startswith("#")]
    used = set().union(*map(interfaces_of, SOURCES))
    listed = {row[0] for row in rows}
    assert used - listed == set(), f"add to {LISTED.name}, with the release of torch in which each appeared"
    assert listed - used == set(), f"no longer used: remove from {LISTED.name}"
    for name, release, *extra in rows:
        bound = oldest_torch(extra[0] if extra else None)
        assert tuple(map(int, release.split("."))) <= bound, f"{name} needs torch {release}, pyproject.toml allows less"


def test_interfaces_are_seen_by_any_name_and_with_the_keywords_of_calls(tmp_path):
    """A guard on the reader itself, by a file of known interfaces."""
    (tmp_path / "seen.py").write_text(
        "import torch\nimport torch.nn.functional as F\nfrom torch.func import grad as slope\n"
        "y = slope(F.relu, has_aux=True)(torch.Tensor.abs)\nx.relu(inplace=True)\n"
    )
    assert interfaces_of(tmp_path / "seen.py") == {
        *("torch.nn.functional", "torch.func.grad", "torch.func.grad(has_aux=)"),
        *("torch.nn.functional.relu", "torch.Tensor.abs"),
    }
