"""The tables, in Markdown: the same on the terminal and in `README.md`."""

from benchmarks.record import Measured, Report, Row, Run

HEAD = (
    "| contestant | ms / iteration | quartiles | tasks / s | × fewstep | % of floor | peak MiB | float64 error | how |"
)
RULE = "|---|---|---|---|---|---|---|---|---|"
NOTES = """\
## How to read it

- An iteration is the meta-gradient of the meta-batch and one Adam step, or the predictions of an evaluation.
- *× fewstep*: the median over fewstep's; above 1 is slower than fewstep.
- *% of floor*: the floor is the multiply-adds of convolutions and linear layers that any exact method has to do
  directly (`benchmarks/flops.py` derives them), at the sgemm rate of all threads or of the device.
- *peak MiB*: resident memory of a fresh process with all that it imports, or allocated on the device; where the
  clock chooses among several ways (fewstep, jax-rewritten), of all that were tried.
- *float64 error*: the largest relative error of the mean meta-gradient (evaluation: of the logits, or the loss where
  there are none) against the plain loop, before any timing, on fewer tasks; above 1e-8 it is marked.
- fewstep runs `fewstep.training.updates` whole, with its checks for finite numbers, under the mapping that the clock
  chooses. Its Reptile predicts the queries for the log, as parallel-metalearn's does; the others skip them. Its
  evaluation forwards the queries once, after the last step, as the others do; `fewstep evaluate` scores every step and
  each query alone."""


def document(report: Report) -> str:
    """The whole page."""
    tables = "\n".join(workload_table(measured) for measured in report.workloads)
    conditions = "\n\n".join(_conditions(run) for run in report.runs)
    errors = {name: error for run in report.runs for name, error in run.not_installed.items()}
    absent = "".join(f"- {name}: {error}\n" for name, error in errors.items())
    parts = ["# How fast", "![milliseconds per iteration](speed.png)", tables, NOTES, "## Conditions", conditions]
    if absent:
        parts.append(f"## Not installed\n\n{absent}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _conditions(run: Run) -> str:
    machine = run.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items() if name != "commit")
    malloc = " ".join(f"{name}={value}" for name, value in machine.malloc.items()) or "no variables set"
    names = ", ".join(measured.workload for measured in run.workloads)
    return f"""\
{names}: `{run.command}`, {run.rounds} rounds, interleaved, {machine.date}, commit `{machine.versions["commit"]}`; every
sample is in `speed.json`. `make bench ARGS="..."` sets up the environment and runs the same.

- {machine.processor}, {machine.threads} of {machine.cores} threads; device: {machine.device}; {machine.system}
- {versions}
- malloc: {malloc}
- sgemm: {machine.sgemm_gflops_one_thread:.0f} GFLOP/s on one thread, {machine.sgemm_gflops:.0f} on all (or on the
  device), {run.sgemm_gflops_after:.0f} again at the end"""


def workload_table(measured: Measured) -> str:
    """One workload's table and who is absent from it."""
    rates = f"inner rate {measured.inner_lr:g}, in the float64 check {measured.checked_inner_lr:g}"
    lines = [
        f"## {measured.workload}: {measured.about}\n",
        f"{measured.meta_batch} tasks an iteration; floor {number(measured.floor_milliseconds)} ms; {rates}.\n",
        HEAD,
        RULE,
        *(_line(measured, row) for row in sorted(measured.rows, key=lambda row: row.timing.median)),
        "",
        *(f"- {name}: {reason}" for name, reason in measured.absent.items()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _line(measured: Measured, row: Row) -> str:
    timing, slower = row.timing, measured.slower(row)
    cells = [
        row.contestant,
        number(timing.median),
        f"{number(timing.lower_quartile)} to {number(timing.upper_quartile)}",
        f"{row.tasks_per_second:.0f}",
        "" if slower is None else f"{slower:.2f}",
        f"{100 * row.floor_share:.1f}",
        f"{row.peak_mib:.0f}",
        f"{row.error:.0e}" + (" **wrong gradient**" if row.is_wrong else ""),
        row.how,
    ]
    return f"| {' | '.join(cells)} |"


def number(milliseconds: float) -> str:
    """Three significant digits, thousands in full."""
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"
