"""Copy what is worth keeping of a run into `results/NAME`: `python results/record.py RUN [NAME]`."""

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
LARGEST_CHECKPOINT = 2_000_000
LARGEST_LOG = 500_000


def record(run: Path, name: str) -> Path:
    """Recipe, result, figures, the log where it is short, and the checkpoints where they are small (bytes)."""
    target = HERE / name
    target.mkdir(exist_ok=True)
    result = json.loads((run / "result.json").read_text())
    checkpoints = sorted(run.glob("checkpoint-*.safetensors"))[-1:]
    if result["selected_update"] != result["updates"]:
        checkpoints.append(run / "best.safetensors")
    kept = [path for path in checkpoints if path.stat().st_size < LARGEST_CHECKPOINT]
    log = run / "metrics.jsonl"
    if log.stat().st_size < LARGEST_LOG:
        kept.append(log)
    for path in (run / "recipe.json", run / "result.json", *run.glob("*.png"), *kept):
        shutil.copy2(path, target)
    return target


if __name__ == "__main__":
    source = Path(sys.argv[1])
    kept = record(
        source, sys.argv[2] if len(sys.argv) > 2 else json.loads((source / "result.json").read_text())["recipe"]
    )
    sys.stdout.write(f"{kept}\n")
