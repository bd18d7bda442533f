"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The data root with the real Omniglot; tests that ask for it are skipped where there is none."""
    root = Path(os.environ.get("FEWSTEP_DATA", ""))
    if not os.environ.get("FEWSTEP_DATA") or not (root / "omniglot" / "images_background.zip").exists():
        pytest.skip("no real Omniglot: set FEWSTEP_DATA to a folder that holds omniglot/images_background.zip")
    return root
