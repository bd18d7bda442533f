"""Installs the peers one by one into the environment that runs it; one that fails is recorded, and the rest go on.

What is installed already is a constraint on every peer, so none of them can bring another torch along: not even
torchopt and higher need `--no-deps`. `peers.json` in the environment's folder keeps the line that says why.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = {
    "higher": ["higher==0.2.1"],
    "torchopt": ["torchopt==0.7.3"],
    "jax": ["jax==0.10.2", "optax"],
    "parallel-metalearn": ["parallel-metalearn==0.5.6"],
    "learn2learn": ["learn2learn==0.2.0"],
    "torchmeta": ["torchmeta==1.8.0"],
}
"""Requirements by package. torchmeta has no driver: it has required torch < 1.10 since 2021."""
TELLING = ("fatal error:", "error in ", " depends on ", "ERROR:")
"""What the line of pip's output that says why contains, the most telling first."""
ON_CUDA = {"jax": ["jax[cuda13]==0.10.2", "optax"]}


def main() -> int:
    """Install for the device named on the command line, cpu or cuda; 0 even where peers fail."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    requirements = {**PEERS, **(ON_CUDA if device == "cuda" else {})}
    errors = {}
    for name, wanted in requirements.items():
        errors[name] = install(wanted)
        sys.stdout.write(f"{name}: {errors[name] or 'installed'}\n")
        sys.stdout.flush()
    (Path(sys.prefix) / "peers.json").write_text(json.dumps(errors, indent=1) + "\n")
    return 0


def install(wanted: list[str]) -> str:
    """Nothing, or why pip could not."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    frozen = subprocess.run([*pip, "freeze", "--exclude-editable"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(line for line in frozen.splitlines() if "==" in line))
        command = [*pip, "install", "--constraint", str(constraints), *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    return why(done.stdout + done.stderr)


def why(output: str) -> str:
    """The last line of the most telling kind."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = [[line for line in lines if sign in line] for sign in TELLING]
    return next((kind[-1] for kind in found if kind), lines[-1] if lines else "pip said nothing")


if __name__ == "__main__":
    sys.exit(main())
