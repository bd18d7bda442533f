"""Fixtures that several test files share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fewstep.tasks.cache import cache_folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow, unless -m says what to run."""
    if config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The data root with the real Omniglot; tests that ask for it are skipped where there is none."""
    root = Path(os.environ.get("FEWSTEP_DATA", ""))
    if not os.environ.get("FEWSTEP_DATA") or not (root / "omniglot" / "images_background.zip").exists():
        pytest.skip("no real Omniglot: set FEWSTEP_DATA to a folder that holds omniglot/images_background.zip")
    return root


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the session's own; what the user's holds of Omniglot is at hand, for decoding takes 8 s."""
    folder = tmp_path_factory.mktemp("cache")
    for decoded in cache_folder().glob("omniglot-*"):
        (folder / decoded.name).symlink_to(decoded.resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWSTEP_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def one_intra_op_thread() -> None:
    """Tiny nets gain nothing from threads inside an operation and lose much where the processors are shared."""
    torch.set_num_threads(1)
