"""What a result depends on beside its recipe: the versions of packages, Python and the source."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path


def versions() -> dict[str, str | None]:
    """What a result depends on beside its recipe."""
    packages = {name: metadata.version(name) for name in ("fewstep", "torch", "numpy", "pillow")}
    return {**packages, "python": platform.python_version(), "commit": _commit()}


def _commit() -> str | None:
    """The commit of a source checkout, with a + where it was changed; None for an installed package."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        tracked = [*git, "ls-files", "--error-unmatch", Path(__file__).name]  # else the checkout is somebody else's
        subprocess.run(tracked, capture_output=True, timeout=10, check=True)
        describe = [*git, "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        told = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None
