"""Training that is killed again and again, by the clock and in the middle of writes, and ends as if it never had been.

`python tests/kills.py results/trust/kills.json` is the long variant, which is recorded; test_kills has a few.
Processes are forked from one that has imported everything and run nothing of torch, which makes a fork of it sound.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from unittest.mock import patch

import numpy as np
import torch
import torch._dynamo  # which the first optimizer imports
from PIL import Image

from fewstep import cli, run
from fewstep.checkpoint import load_checkpoint
from fewstep.cli import train
from fewstep.durable import LEFTOVER
from fewstep.journal import METRICS, newest_update
from fewstep.report import page
from fewstep.versions import versions
from run_builders import assert_same_folder

SEED = 0
UPDATES = 24
TRAIN = [
    *["train", "sinusoid-10s-maml", "--resume", "--net.hidden", "8", "--threads", "1", "--chunk", "1"],
    *["--updates", str(UPDATES), "--training.meta-batch", "2", "--training.checkpoint-every", "2"],
    *["--training.validate-every", "3", "--training.validation-tasks", "4", "--training.lr", "0.05"],
    *["--evaluation.tasks", "5", "--evaluation.steps", "2", "--evaluation.ensemble", "2"],
]
IMPORTED = (train, page)
"""What the command line imports once the verb is known."""
FAILED = 99
SECONDS = 60.0
RANKS = 2
RESTARTS = 5


class Kill(NamedTuple):
    """When a process kills itself: so many seconds after its start, or at a step of its writing, counted from 1."""

    seconds: float | None = None
    step: int | None = None


class Place(NamedTuple):
    """The folder of a run, and a file in which its processes note what happens to them."""

    folder: Path
    notes: Path

    def note(self, *words: object) -> None:
        """Add a line, which a kill cannot halve."""
        descriptor = os.open(self.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
        os.close(descriptor)

    def noted(self, kind: str) -> list[str]:
        """What the lines of a kind say, in order."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line.removeprefix(f"{kind} ") for line in lines if line.startswith(f"{kind} ")]


def place(parent: Path, name: str) -> Place:
    """A place for one run in `parent`."""
    return Place(parent / name, parent / f"{name}.notes")


class Steps:
    """Counts the steps of all writes below a folder, and kills the process at one of them; some halve what is written.

    A file aside is opened, written, synced and renamed, and the folder synced; a line of the log is written.
    """

    def __init__(self, at: Place, kill: int | None) -> None:
        self.count, self._at, self._kill = 0, at, kill
        self._open, self._replace, self._fsync = Path.open, Path.replace, os.fsync

    def pass_by(self, what: str, before: Callable[[], object] = lambda: None) -> None:
        """One step; at the one that kills, `before` is done first."""
        self.count += 1
        if self.count == self._kill:
            before()
            die(self._at, what)

    def opened(self, path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        """As `Path.open`."""
        if mode not in ("wb", "a") or path.parent != self._at.folder:
            return self._open(path, mode, *rest, **options)
        if mode == "wb":
            self.pass_by("before a file is opened")
        return Halved(self._open(path, mode, *rest, **options), self, "log" if mode == "a" else "file")

    def replaced(self, path: Path, target: Path) -> Path:
        """As `Path.replace`."""
        if target.parent != self._at.folder:
            return self._replace(path, target)
        self.pass_by("before a rename")
        renamed = self._replace(path, target)
        self.pass_by("after a rename")
        return renamed

    def synced(self, descriptor: int) -> None:
        """As `os.fsync`."""
        self.pass_by("before a sync")
        self._fsync(descriptor)


class Halved:
    """A file that may be killed in the middle of a write."""

    def __init__(self, file: Any, steps: Steps, kind: str) -> None:
        self._file, self._steps, self._kind = file, steps, kind

    def write(self, content: Any) -> None:
        """All of it, or half."""

        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._steps.pass_by(f"in the middle of a {self._kind}", half)
        self._file.write(content)

    def __enter__(self) -> "Halved":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def die(at: Place, why: str) -> NoReturn:
    """SIGKILL, noted."""
    at.note("killed", why)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def assert_whole(folder: Path) -> int:
    """Every file of a run folder is whole, but for the last line of its log; the update of the newest checkpoint."""
    for path in folder.iterdir() if folder.exists() else ():
        if LEFTOVER.fullmatch(path.name):
            continue
        if path.suffix == ".safetensors":
            load_checkpoint(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.name == METRICS:
            assert all(json.loads(line) for line in path.read_text().splitlines()[:-1])
        elif path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        else:
            assert path.name == "report.html", path
            assert path.read_text().rstrip().endswith("</html>")
    return newest_update(folder)


def work(at: Place, kill: Kill | None, *, is_first: bool = True) -> int:
    """The command, in this process, which checks what it finds and goes on after the newest checkpoint there is."""
    torch.set_num_threads(1)
    steps = Steps(at, kill.step if kill else None)
    newest = assert_whole(at.folder) if is_first else None
    at.note("found", newest, len(list(at.folder.glob(".*.partial")))) if is_first else None
    updates = run.updates

    def checked(*arguments: Any, first: int, **options: Any) -> Iterator[Any]:
        if is_first and first != newest:
            at.note("failed", f"the newest checkpoint was that of update {newest}, it goes on after {first}")
        return updates(*arguments, first=first, **options)

    if kill and kill.seconds is not None:
        threading.Timer(kill.seconds, die, (at, "by the clock")).start()
    patches = [patch.object(run, "updates", checked)]
    if is_first:
        patches += [
            patch.object(Path, "open", lambda *a, **k: steps.opened(*a, **k)),
            patch.object(Path, "replace", lambda *a: steps.replaced(*a)),
            patch.object(os, "fsync", steps.synced),
        ]
    for one in patches:
        one.start()
    code = cli.main([*TRAIN, "--out", str(at.folder)])
    at.note("ended", code, steps.count)
    return code


def forked(function: Callable[[], int], log: Path, **environment: str) -> int:
    """The number of a new process that does `function` and ends with what it returns; what it says goes to `log`."""
    child = os.fork()
    if child:
        return child
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = FAILED
    try:
        code = function()
    finally:
        if code == FAILED:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int, log: Path) -> bool:
    """Whether a process was killed, once it has ended; anything but that and success is an error with its words."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), f"exit code {code}: {log.read_text()[-2000:]}"
    return code != 0


def alone(at: Place, kill: Kill | None) -> bool:
    """One process; whether it was killed."""
    log = at.notes.with_suffix(".log")
    return ended(forked(lambda: work(at, kill), log), log)


def together(at: Place, kill: Kill | None, victim: int = 0) -> bool:
    """Two processes, as a launcher starts them and ends them all when one has died; whether the victim was killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = at.notes.with_suffix(".log")
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(RANKS)}

    def started(rank: int) -> int:
        mine = kill if rank == victim else None
        ranked = {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(RANKS)}
        return forked(lambda: work(at, mine, is_first=rank == 0), log, **where, **ranked)

    children = {rank: started(rank) for rank in range(RANKS)}
    other = children[1 - victim]
    was_killed = ended(children[victim], log)
    if was_killed:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    else:
        assert not ended(other, log)
    return was_killed


def under_torchrun(at: Place, kills: int, seed: int) -> None:
    """The same started by torchrun, which starts all again when one dies; `worker` says who and when."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]
    command = [sys.executable, *launch, "--max-restarts", str(kills), __file__, "worker", str(at.folder)]
    environment = {**os.environ, "KILLS": str(kills), "SEED": str(seed)}
    with at.notes.with_suffix(".log").open("w") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=log, check=True, timeout=30 * SECONDS)


def worker(folder: Path) -> int:
    """What torchrun starts."""
    at, rank, restarts = place(folder.parent, folder.name), int(os.environ["RANK"]), _restarts()
    rng = np.random.default_rng([int(os.environ["SEED"]), restarts])
    victim, seconds, step = int(rng.integers(RANKS)), rng.uniform(0.5, 3.0), int(rng.integers(1, 40))
    kill = Kill(step=step) if victim == 0 and rng.random() < 0.7 else Kill(seconds=seconds)
    must_die = rank == victim and restarts < int(os.environ["KILLS"])
    return work(at, kill if must_die else None, is_first=rank == 0)


def _restarts() -> int:
    return int(os.environ["TORCHELASTIC_RESTART_COUNT"])


class Count(NamedTuple):
    """What came of some runs that were killed."""

    kills: int
    where: Counter[str]
    runs: int
    leftovers: int


def counted(places: Sequence[Place]) -> Count:
    """All that the processes have noted; raises `AssertionError` where something went wrong."""
    failed = [words for at in places for words in at.noted("failed")]
    assert not failed, failed
    where = Counter(why for at in places for why in at.noted("killed"))
    leftovers = sum(int(found.split()[1]) > 0 for at in places for found in at.noted("found"))
    return Count(sum(where.values()), where, len(places), leftovers)


def assert_as_undisturbed(at: Place, whole: Place) -> None:
    """In a process of its own, for it runs something of torch."""
    log = at.notes.with_suffix(".log")

    def compare() -> int:
        assert_whole(at.folder)
        assert_same_folder(at.folder, whole.folder)
        return 0

    assert not ended(forked(compare, log), log)


def kill_all_the_time(
    parent: Path, start: Callable[[Place, Kill | None], bool], kills: Sequence[Kill], name: str, each: int = 5
) -> list[Place]:
    """Runs that are killed `each` times at most and end; as many of them as the `kills` need."""
    places, left = [], list(kills)
    whole = place(parent, f"{name}-whole")
    assert not start(whole, None)
    while left:
        at = place(parent, f"{name}-{len(places)}")
        for _ in range(min(each, len(left))):
            if not start(at, left[0]):
                break
            del left[0]
        else:
            assert not start(at, None)
        assert_as_undisturbed(at, whole)
        places.append(at)
    return places


def drawn(rng: np.random.Generator, count: int, seconds: float, steps: int) -> list[Kill]:
    """Every second by the clock, the others at a step of writing."""
    return [
        Kill(seconds=rng.uniform(0, seconds)) if i % 2 else Kill(step=int(rng.integers(1, steps))) for i in range(count)
    ]


def long_variant(out: Path) -> None:
    """Sixty kills or a few more, ten of them under torchrun, and a record of them."""
    began, rng = time.monotonic(), np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEWSTEP_CACHE"] = folder
        parent = Path(folder)
        places = {"one process": kill_all_the_time(parent, alone, drawn(rng, 30, 2.0, 100), "alone")}
        draws = iter(rng.integers(RANKS, size=1000).tolist())

        def pair(at: Place, kill: Kill | None) -> bool:
            return together(at, kill, victim=0 if kill is None or kill.step else next(draws))

        places["two processes"] = kill_all_the_time(parent, pair, drawn(rng, 20, 3.0, 100), "pair")
        places[torchrun := f"torchrun --max-restarts {RESTARTS}"] = []
        while (done := counted(places[torchrun]).kills) < 10:
            places[torchrun].append(place(parent, f"torchrun-{done}"))
            under_torchrun(places[torchrun][-1], RESTARTS, SEED + done)
            assert_as_undisturbed(places[torchrun][-1], place(parent, "pair-whole"))
        counts = {name: counted(of) for name, of in places.items()}
    where = sum((count.where for count in counts.values()), Counter())
    record = {
        "command": f"python tests/kills.py {out}",
        "seed": SEED,
        "commit": versions()["commit"],
        "seconds": round(time.monotonic() - began),
        "kills": where.total(),
        "kills in the middle of a write": where.total() - where["by the clock"],
        "where": dict(sorted(where.items())),
        "how started": {name: count.kills for name, count in counts.items()},
        "runs": sum(count.runs for count in counts.values()),
        "resumes": where.total(),
        "resumes bit-identical": where.total(),
        "starts that found a file left aside": sum(count.leftovers for count in counts.values()),
    }
    out.write_text(json.dumps(record, indent=2) + "\n")
    sys.stdout.write(out.read_text())


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        sys.exit(worker(Path(sys.argv[2])))
    long_variant(Path(sys.argv[1]))
