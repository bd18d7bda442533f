"""The door: `python -m benchmarks` checks, times, prints and writes."""

import contextlib
import dataclasses
import json
import shlex
import sys
from pathlib import Path

from benchmarks import chart, gradients, table
from benchmarks.machine import Machine, describe, sgemm_gflops
from benchmarks.options import Options, parse
from benchmarks.problem import Setting
from benchmarks.record import Measured, Report, Row, Run
from benchmarks.roster import SLOW_ON_CONVOLUTIONS
from benchmarks.timing import interleaved
from benchmarks.worker import PeerError, Worker
from benchmarks.workloads import WORKLOADS

INSTALLED = Path(sys.prefix) / "peers.json"
"""What `benchmarks.install` says of every package: nothing, or why pip could not."""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 for options that make no sense."""
    options = parse(arguments)
    machine = describe(options.device, options.sgemm_side)
    errors = json.loads(INSTALLED.read_text()) if INSTALLED.exists() else {}
    not_installed = {name: error for name, error in errors.items() if error}
    words = sys.argv[1:] if arguments is None else arguments
    options.out.mkdir(parents=True, exist_ok=True)
    before = Report.read(options.out / "speed.json")
    workloads = []
    for name in options.workloads:
        measured = measure(name, options, machine)
        _say(table.workload_table(measured))
        workloads.append(measured)
        run = Run(
            command=shlex.join(["python", "-m", "benchmarks", *words]),
            machine=machine,
            rounds=options.pace.rounds,
            not_installed=not_installed,
            workloads=workloads,
            sgemm_gflops_after=sgemm_gflops(options.device, machine.threads, options.sgemm_side),
        )
        _write(before.with_run(run), options.out)  # after each: an hour's work is not lost with the last of it
    for package, error in not_installed.items():
        _say(f"not installed: {package}: {error}")
    _say(f"written: {options.out}/speed.json, README.md, speed.png")
    return 0


def _write(report: Report, folder: Path) -> None:
    report.write(folder / "speed.json")
    (folder / "README.md").write_text(table.document(report))
    chart.draw(report, folder / "speed.png")


def measure(name: str, options: Options, machine: Machine) -> Measured:
    """One workload: check every contestant in float64, then time those that run, each in its own process."""
    workload = WORKLOADS[name]
    setting = Setting(
        name=name,
        meta_batch=options.meta_batch or workload.meta_batch,
        inner_lr=workload.inner_lr,
        threads=machine.threads,
        device=options.device,
    )
    checked = dataclasses.replace(
        setting, dtype="float64", meta_batch=options.checked_tasks, inner_lr=workload.checked_inner_lr
    )
    _progress(f"{name}: checking in float64")
    slow = {} if options.is_patient or workload.net == "mlp" else SLOW_ON_CONVOLUTIONS
    errors, absent = gradients.check([one for one in options.contestants if one not in slow], checked)
    absent |= slow
    rows = []
    floor = workload.floor_seconds(setting.meta_batch, machine.sgemm_gflops)
    with contextlib.ExitStack() as stack:
        workers = []
        for contestant in errors:
            worker = stack.enter_context(Worker(contestant, setting))
            try:
                worker.wait()
                workers.append(worker)
            except PeerError as error:
                absent[contestant] = str(error)
        timings, failed = interleaved(workers, options.pace, lambda line: _progress(f"{name}: {line}"))
        for worker in workers:
            if worker.name in failed:
                continue
            timing = timings[worker.name]
            row = Row(
                contestant=worker.name,
                how=worker.how(),
                timing=timing,
                tasks_per_second=1000 * setting.meta_batch / timing.median,
                floor_share=1000 * floor / timing.median,
                peak_mib=worker.peak_mib(),
                error=errors[worker.name],
            )
            rows.append(row)
    return Measured(
        workload=name,
        about=workload.about,
        meta_batch=setting.meta_batch,
        inner_lr=setting.inner_lr,
        checked_inner_lr=checked.inner_lr,
        floor_milliseconds=1000 * floor,
        rows=rows,
        absent={**absent, **failed},
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{line:40}\r")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
