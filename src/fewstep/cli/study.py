"""`fewstep study assignment`, or `fewstep study RECIPE RECIPE ...`: several recipes over seeds, and one page of all."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fewstep import recipes, studies
from fewstep.cli.options import DataRoot
from fewstep.cli.session import interrupts
from fewstep.journal import Row
from fewstep.nearest import nearest
from fewstep.report import study_page
from fewstep.study import Job, Study, jobs_of, note_error, study_of
from fewstep.study_processes import processes
from fewstep.study_runs import Engine, Means, Outcome, run_all
from fewstep.tasks.cache import data_root


@dataclass(frozen=True, kw_only=True)
class StudyArguments:
    """Train several recipes over several seeds, test them, and put all of them on one page.

    Runs lie in OUT/RECIPE-s0 and are spread over processes, or over a Ray cluster. The same command goes on where it
    was stopped: finished runs are left alone, whoever trained them. Ctrl-C saves every run.
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="STUDY | RECIPE ...")] = ()
    """a study (assignment), or recipes"""
    out: Path | None = None
    """folder of the runs and the page; default: studies/STUDY"""
    seeds: int = 3
    """trainings of every recipe, from seeds 0, 1, ..."""
    minutes: float | None = None
    """stop each run after so many minutes of training in all, and test it as it is"""
    updates: int | None = None
    """outer updates of every run that is yet to begin, in place of its recipe's: for trials"""
    on: Literal["processes", "ray"] = "processes"
    """what runs are spread over: processes of this machine, or the Ray cluster at $RAY_ADDRESS, whose nodes all need
    fewstep, OUT and the data root (without RAY_ADDRESS: a Ray of this machine alone)"""
    jobs: int | None = None
    """runs at a time, a process or a Ray task each; default: as many as the processors have room for"""
    threads: int = 1
    """threads over tasks of each run"""
    report_only: bool = False
    """draw the page from what there is, train nothing"""
    data_root: DataRoot = None


def main(words: Sequence[str]) -> int:
    """Parse, run, draw. 1 where a run failed, 130 after Ctrl-C."""
    arguments = tyro.cli(StudyArguments, prog="fewstep study", args=list(words))
    study = _study(arguments.what)
    folder = arguments.out or Path("studies") / study.name
    if arguments.report_only and not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; leave out --report-only to train into it")
    code = 0 if arguments.report_only else _run(study, folder, arguments)
    sys.stdout.write(f"report: {study_page.write(study, folder)}\n")
    return code


def _study(names: Sequence[str]) -> Study:
    known = [study.name for study in studies.ALL]
    if not names:
        raise ValueError(f"study needs a study ({', '.join(known)}) or recipes (`fewstep recipes` lists them)")
    if len(names) == 1 and (named := studies.find(names[0])) is not None:
        return named
    for name in names:
        if name not in {recipe.name for recipe in recipes.ALL}:
            hint = nearest(name, [*known, *(recipe.name for recipe in recipes.ALL)])
            raise ValueError(f"there is no study and no recipe '{name}'{hint}")
    return study_of(names)


def _run(study: Study, folder: Path, arguments: StudyArguments) -> int:
    jobs = jobs_of(study, folder, seeds=arguments.seeds, updates=arguments.updates)
    means = Means(data_root=data_root(arguments.data_root), minutes=arguments.minutes, threads=arguments.threads)
    with _engine(arguments.on) as engine, interrupts("the update of every run, or its test") as interrupted:
        room = engine.room(arguments.threads)
        at_once = room if arguments.jobs is None else arguments.jobs
        sys.stderr.write(f"{len(jobs)} runs into {folder}, {at_once} at a time\n")
        see = _teller(folder, len(jobs))
        outcomes = run_all(jobs, means, engine, at_once=at_once, see=see, must_stop=lambda: bool(interrupted))
    if any(outcome.status == "interrupted" for outcome in outcomes) or len(outcomes) < len(jobs):
        sys.stderr.write("stopped and saved; the same command goes on\n")
        return 130
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0


def _engine(on: Literal["processes", "ray"]) -> AbstractContextManager[Engine]:
    if on == "processes":
        return processes()
    try:
        from fewstep.study_ray import ray_tasks
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ValueError('--on ray needs the package ray: pip install "fewstep[ray]"') from error
    return ray_tasks()


def _teller(folder: Path, count: int) -> Callable[[Job, Row | Outcome], None]:
    """Tells of rows and outcomes in lines; errors are kept for the page."""
    ended = 0

    def tell(job: Job, what: Row | Outcome) -> None:
        nonlocal ended
        if isinstance(what, Outcome):
            ended += 1
            note_error(folder, job.folder.name, what.words if what.status == "failed" else None)
            sys.stderr.write(f"[{ended}/{count}] {job.name} {what.status}: {what.words}\n")
        elif what["kind"] == "validation":
            score = "not finite" if what["score"] is None else f"{what['score']:.4f} ± {what['ci95']:.4f}"
            sys.stderr.write(f"{job.name} update {what['update']}: validation {score}\n")
        elif what["kind"] == "train":
            accuracy = f", accuracy {what['accuracy']:.3f}" if "accuracy" in what else ""
            done = f"{what['update']}/{job.recipe.training.updates}"
            sys.stderr.write(f"{job.name} update {done}: loss {what['loss']:.3f}{accuracy}\n")

    return tell
