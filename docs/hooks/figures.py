"""Takes figures of recorded runs into the site, so that they lie in the repository once."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

RESULTS = Path(__file__).parents[2] / "results"
FIGURES = {"images/adaptation.png": RESULTS / "sinusoid-10s-maml" / "adaptation.png"}
"""By where pages find them."""


def on_files(files: Files, *, config: Any, **_: Any) -> None:
    """The figures, as files of the site."""
    for place, source in FIGURES.items():
        files.append(File.generated(config, place, abs_src_path=str(source)))
