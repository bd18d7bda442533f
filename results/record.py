"""Copy what is worth keeping of a run into `results/NAME`: `python results/record.py RUN [NAME]`.

A run that was cut goes into `results/runs/NAME`, from where it can be resumed, until the whole one is there. The
tables of the assignment's answers are brought up to it.
"""

import json
import shutil
import sys
from pathlib import Path

from tables import fill_all

HERE = Path(__file__).parent
LARGEST_CHECKPOINT = 2_000_000
MOST_ROWS = 1500


def record(run: Path, name: str) -> Path:
    """Recipe, result, figures, log (of long runs every so many updates), and checkpoints where they are small."""
    result, cut = json.loads((run / "result.json").read_text()), HERE / "runs" / name
    target = HERE / name if result["status"] == "finished" else cut
    for before in {target, cut}:
        shutil.rmtree(before, ignore_errors=True)
    target.mkdir(parents=True)
    checkpoints = sorted(run.glob("checkpoint-*.safetensors"))[-1:]
    if result["selected_update"] != result["updates"]:
        checkpoints.append(run / "best.safetensors")
    small = [path for path in checkpoints if path.stat().st_size < LARGEST_CHECKPOINT]
    for path in (run / "recipe.json", run / "result.json", *run.glob("*.png"), *small):
        shutil.copy2(path, target)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    every = 1 + len(rows) // MOST_ROWS
    kept = [row for row in rows if row["kind"] != "train" or row["update"] % every == 0]
    (target / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    return target


if __name__ == "__main__":
    source = Path(sys.argv[1])
    kept = record(
        source, sys.argv[2] if len(sys.argv) > 2 else json.loads((source / "result.json").read_text())["recipe"]
    )
    fill_all()
    sys.stdout.write(f"{kept}\n")
