"""Write small files of the present format, and what must come of them: `python tests/formats/format_files.py FORMAT`.

Once, when a format has been raised. What is written stays as it is from then on.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch

import fewstep
from fewstep.cli import main
from fewstep.study import note_error

HERE = Path(__file__).parent
SINUSOID = [
    *["--net.hidden", "3", "--updates", "2", "--training.meta-batch", "2", "--training.validation-tasks", "2"],
    *["--training.validate-every", "1", "--evaluation.tasks", "3", "--evaluation.steps", "2"],
]
STROKES = [
    *["--net.filters", "2", "--updates", "1", "--tasks.ways", "2", "--tasks.queries", "1"],
    *["--training.meta-batch", "1", "--training.validation-tasks", "2", "--evaluation.tasks", "2"],
]
KEPT = ("recipe.json", "metrics.jsonl", "result.json", "best.safetensors", "checkpoint-00000002.safetensors")


def points() -> fewstep.Examples:
    """Ten points of a curve."""
    x = torch.linspace(-5, 5, 10)[:, None]
    return fewstep.Examples(x, torch.sin(x))


def pictures() -> fewstep.Examples:
    """Six pictures of two classes: waves of six lengths."""
    waves = [torch.sin(torch.arange(784) / (2 + length)) for length in range(6)]
    return fewstep.Examples(torch.stack(waves).reshape(6, 1, 28, 28) / 2 + 0.5, torch.arange(6) // 3)


def outcomes(folder: Path) -> dict[str, object]:
    """What the files in `folder` compute."""
    curve, learned = (fewstep.adapt(folder / name, points()) for name in ("run", "run.fewstep-learner"))
    model, adapted = fewstep.load(folder / "two.fewstep"), fewstep.adapt(folder / "two.fewstep-learner", pictures())
    x = pictures().x
    return {
        "run": curve(points().x).flatten().tolist(),
        "run.fewstep-learner": learned(points().x).flatten().tolist(),
        "two.fewstep": model(x).tolist(),
        "two.fewstep-learner": adapted(x).tolist(),
        "novelty": [one.novelty for one in model.fewstep.predict(x)],
    }


def write(folder: Path) -> None:
    """Train, pack and adapt, as little as can be."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as made:
        for recipe, name, options in (("sinusoid-10s-maml", "run", SINUSOID), ("strokes-5w1s-maml", "two", STROKES)):
            run = f"{made}/{name}"
            main(["train", recipe, "--out", run, "--threads", "1", "--chunk", "1", *options])
            main(["pack", run, "--out", str(folder / f"{name}.fewstep-learner")])
        (folder / "run").mkdir()
        for name in KEPT:
            shutil.copy(Path(made, "run", name), folder / "run")
    model = fewstep.adapt(folder / "two.fewstep-learner", pictures(), classes=["short", "long"])
    model.fewstep.save(folder / "two.fewstep")
    note_error(folder, "another-s0", "stopped")
    (folder / "outcomes.json").write_text(json.dumps(outcomes(folder), indent=1) + "\n")


if __name__ == "__main__":
    write(HERE / sys.argv[1])
