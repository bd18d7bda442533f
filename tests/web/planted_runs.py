"""A folder of runs as an attacker, a crash and a study would have left it."""

import contextlib
import os
import shutil
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "results"
STROKES, SINUSOID = "strokes-5w1s-maml", "study/sinusoid-10s-maml"


def planted_runs(folder: Path) -> Path:
    """Two recorded runs, one of them a level down as studies have theirs, and a damaged one.

    Beside them a folder whose name is no text, and links: out, up, and to themselves.
    """
    outside, root = folder / "outside", folder / "runs"
    shutil.copytree(RESULTS / "strokes-5w1s-maml", outside)
    shutil.copytree(RESULTS / "strokes-5w1s-maml", root / STROKES)
    shutil.copytree(RESULTS / "sinusoid-10s-maml", root / SINUSOID)
    (root / STROKES / "report.html").write_text("<style>p{}</style><script>alert(1)</script>")
    (root / "broken").mkdir()
    (root / "broken" / "recipe.json").write_text("{")
    (root / "linked").symlink_to(outside)
    (root / STROKES / "adaptation.png").symlink_to(outside / "tasks.png")
    (root / "loop").symlink_to("loop")
    (root / "study" / "up").symlink_to(root)
    with contextlib.suppress(OSError):  # a disk may take text alone for names
        shutil.copytree(root / STROKES, root / os.fsdecode(b"\xff"), symlinks=True)
    return root
