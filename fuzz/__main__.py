"""`python -m fuzz`: so many inputs to every reader; `make fuzz` sets up the environment.

What ends in neither a result nor one clear error is shown, kept, and makes the exit code 1.

With atheris the inputs that reach new code of fewstep are mutated further; without it each is made from a sound one.
"""

import argparse
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 20
"""Of processor time that one input may take; then it hangs."""
MOST_MEMORY = 6 << 30
"""Bytes of data of the process: what asks for more gets a MemoryError, which is a finding."""


def options() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=120_000, help="in all, shared by the targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", help="one alone")
    parser.add_argument("--engine", choices=("atheris", "random"), default="atheris")
    parser.add_argument("--out", type=Path, help="write the counts there, as JSON")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where findings are kept")
    return parser.parse_args()


class Count:
    """The ends of a target's inputs, and of what did not end as it should."""

    def __init__(self, name: str, out: Path, keep: Path, inputs: int) -> None:
        self.name, self._out, self._keep, self._inputs = name, out, keep, inputs
        self.ends = {"result": 0, "error": 0, "finding": 0}
        self.findings: dict[str, str] = {}
        self._began = time.monotonic()

    def add(self, end: str) -> None:
        """Note one; the last one writes the file, for atheris ends the process."""
        self.ends[end] += 1
        if sum(self.ends.values()) >= self._inputs:
            self.write()

    def find(self, error: BaseException, data: bytes) -> None:
        """Keep one input of each kind of finding."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "?"
        kind = f"{type(error).__name__} at {where}"
        if kind not in self.findings:
            self.findings[kind] = str(error)[:300]
            self._keep.mkdir(parents=True, exist_ok=True)
            (self._keep / f"{self.name} {len(self.findings)}".replace(" ", "-")).write_bytes(data)
            sys.stdout.write(f"{self.name}: {kind}: {str(error)[:300]}\n")
        self.add("finding")

    def write(self) -> None:
        """The counts so far."""
        seconds = round(time.monotonic() - self._began, 1)
        counted = {"inputs": sum(self.ends.values()), **self.ends, "seconds": seconds, "kinds": self.findings}
        self._out.write_text(json.dumps({self.name: counted}))


class HangError(BaseException):
    """An input takes too long."""


def _hang(number: int, frame: FrameType | None) -> None:
    raise HangError(f"more than {SECONDS} s")


def run_target(name: str, arguments: argparse.Namespace, out: Path) -> None:
    """All inputs of one target, in a process of its own."""
    from fuzz.targets import targets

    os.chdir(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    target = next(one for one in targets() if one.name == name)
    folder = Path("input")
    target.prepare(folder)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGPROF, _hang)
    count = Count(name, out, arguments.keep, arguments.inputs)

    for seed in target.seeds:  # sound, so that what is imported or made once is there
        target.ending(seed, folder)

    def one(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            end = target.ending(data, folder)
        except (Exception, HangError) as error:  # noqa: BLE001  # whatever it is, it is a finding
            signal.setitimer(signal.ITIMER_PROF, 0)
            count.find(error, data)
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
            count.add(end)

    if arguments.engine == "random":
        rng = random.Random(f"{arguments.seed} {name}")
        for _ in range(arguments.inputs):
            one(target.mutated(rng))
        return
    import atheris

    corpus = Path("corpus")
    corpus.mkdir()
    for i, seed in enumerate(target.seeds):
        (corpus / str(i)).write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:  # from sound input: what was changed often is all damage, refused at the door
            return target.mutated(rng)[:most]
        made = target.mutate(data, rng) if data and rng.random() < 0.8 else atheris.Mutate(data, most)
        return bytes(made[:most])

    command = [
        sys.argv[0],
        f"-runs={arguments.inputs}",
        f"-seed={arguments.seed + 1}",
        "-max_len=65536",
        "-verbosity=0",
    ]
    atheris.Setup([*command, "-rss_limit_mb=0", f"-timeout={2 * SECONDS}", str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def instrumented() -> None:
    """Import what is fuzzed so that atheris sees which code is reached."""
    import atheris

    with atheris.instrument_imports(include=["fewstep"]):
        import fuzz.targets  # noqa: F401


def _commit() -> str:
    git = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    """One process a target, one after the other."""
    arguments = options()
    arguments.keep = arguments.keep.absolute()
    if arguments.target and arguments.out and os.environ.get("FUZZ_ONE"):
        if arguments.engine == "atheris":
            instrumented()
        run_target(arguments.target, arguments, arguments.out.absolute())
        return 0
    from fuzz.targets import targets

    with tempfile.TemporaryDirectory() as made:
        os.chdir(made)
        names = [target.name for target in targets()]
    os.chdir(Path(__file__).parents[1])
    names = list(dict.fromkeys([arguments.target] if arguments.target else names))
    counts: dict[str, Any] = {}
    began = time.monotonic()
    for name in names:
        share = max(arguments.inputs // len(names), 1)
        if name.startswith("words") and not arguments.target:
            share = min(share, 400)  # each takes a quarter of a second
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            words = ["--inputs", str(share), "--seed", str(arguments.seed), "--engine", arguments.engine]
            words += ["--target", name, "--out", file.name, "--keep", str(arguments.keep)]
            environment = {**os.environ, "FUZZ_ONE": "1", "OMP_NUM_THREADS": "1"}
            done = subprocess.run([sys.executable, "-m", "fuzz", *words], env=environment, check=False)
            written = Path(file.name).read_text()
        counts |= json.loads(written) if written else {name: {"inputs": 0, "died": done.returncode, "finding": 1}}
        sys.stdout.write(f"{name}: {counts[name]}\n")
        sys.stdout.flush()
    total = sum(count["inputs"] for count in counts.values())
    summary = {
        "command": " ".join(["python -m fuzz", *sys.argv[1:]]),
        "commit": _commit(),
        "seed": arguments.seed,
        "engine": arguments.engine,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "python": platform.python_version(),
        "inputs": total,
        "findings": sum(count["finding"] for count in counts.values()),
        "targets": counts,
    }
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(summary, indent=1) + "\n")
    sys.stdout.write(f"{total} inputs, {summary['findings']} that ended in neither a result nor one clear error\n")
    return int(bool(summary["findings"]))


if __name__ == "__main__":
    sys.exit(main())
