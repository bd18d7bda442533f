"""What the door understands."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.roster import CONTESTANTS
from benchmarks.timing import Pace
from benchmarks.workloads import WORKLOADS


@dataclass(frozen=True, kw_only=True)
class Options:
    """One run of the benchmark."""

    workloads: list[str]
    contestants: list[str]
    is_patient: bool
    """those were named, so that also what takes a minute an iteration is timed"""
    pace: Pace
    device: str
    out: Path
    meta_batch: int | None
    """in place of the workload's own"""
    checked_tasks: int
    """tasks of the float64 check"""
    sgemm_side: int


def parse(arguments: list[str] | None) -> Options:
    """The options of a command line; exits with a message where they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time fewstep beside its peers.")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="a,b,...,g,W2; default: all")
    parser.add_argument("--only", help="contestants; default: all that take seconds")
    parser.add_argument("--rounds", type=int, default=None, help="samples of each contestant, default: 9")
    parser.add_argument("--quick", action="store_true", help="4 tasks and few rounds: shows that it runs, no figures")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path("results/speed"), help="folder of the JSON, page and chart")
    parsed = parser.parse_args(arguments)
    if parsed.rounds is not None and parsed.rounds < 1:
        parser.error(f"--rounds {parsed.rounds}: expected 1 or more")
    quick = Pace(rounds=parsed.rounds or 3, sample_seconds=0.05, pause_seconds=0.0)
    return Options(
        workloads=_chosen(parser, "--workloads", parsed.workloads, list(WORKLOADS)),
        contestants=_chosen(parser, "--only", parsed.only or ",".join(CONTESTANTS), list(CONTESTANTS)),
        is_patient=parsed.only is not None,
        pace=quick if parsed.quick else Pace(rounds=parsed.rounds or 9),
        device=parsed.device,
        out=parsed.out,
        meta_batch=4 if parsed.quick else None,
        checked_tasks=2 if parsed.quick else 4,
        sgemm_side=512 if parsed.quick else 2048,
    )


def _chosen(parser: argparse.ArgumentParser, option: str, given: str, known: list[str]) -> list[str]:
    names = [name.strip() for name in given.split(",")]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{option}: {unknown[0]!r} is none of {', '.join(known)}")
    return [name for name in known if name in names]
