"""The runs of a study as tasks of a Ray cluster, whose nodes share the folders of the study and of the data."""

import dataclasses
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fewstep.autotune import available_threads
from fewstep.journal import Row
from fewstep.lock import locked
from fewstep.study import Job
from fewstep.study_post import Post
from fewstep.study_runs import SECONDS_BETWEEN_LOOKS, Means, Outcome, outcome_of

RETRIES = 3
"""How often a run is taken up again whose worker died."""
SECONDS_OF_A_LOCK = 120.0
"""A shared file system may hold the lock of a node that died for as long as the node's lease."""
NOT_BEGUN = "stopped before it began"
SECONDS_OF_A_LETTER = 5.0
SECONDS_TO_ANSWER = 10.0


class RayTasks:
    """An `Engine`: a task each, which Ray starts again on another worker when its own dies."""

    def __init__(self, retries: int) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._post = ray.remote(Post).options(num_cpus=0, scheduling_strategy=here).remote()
        self._retries = retries
        self._jobs: list[Job] = []
        self._live: dict[Any, int] = {}  # by the task's reference: the number of its job

    def room(self, threads: int) -> int:
        """As the processors of the whole cluster allow.

        Raises `ValueError` where no node has processors for so many threads: its tasks would wait for ever.
        """
        threads = max(threads, 1)
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        if max(nodes) < threads:
            raise ValueError(
                f"threads={threads}, but no node of the Ray cluster has more than {max(nodes)} CPUs; lower --threads"
            )
        return sum(processors // threads for processors in nodes)

    def start(self, job: Job, means: Means) -> None:
        """Submit the job; it begins when the cluster has room for it."""
        there = dataclasses.replace(job, folder=job.folder.resolve())
        means = dataclasses.replace(means, data_root=means.data_root.resolve())
        task = ray.remote(_work).options(
            num_cpus=max(means.threads, 1), max_retries=self._retries, name=f"fewstep {job.name}"
        )
        self._live[task.remote(len(self._jobs), there, means, self._post)] = len(self._jobs)
        self._jobs.append(job)

    def listen(self) -> list[tuple[Job, Row | Outcome]]:
        """What came in, after a moment's wait."""
        ended, _ = ray.wait(list(self._live), timeout=SECONDS_BETWEEN_LOOKS)
        letters = ray.get(self._post.take.remote())
        news = [(self._jobs[number], row) for number, row in letters]
        outcomes = [self._outcome(task) for task in ended]
        return [*news, *((outcome.job, outcome) for outcome in outcomes)]

    def stop(self) -> None:
        """Ask every run to save and to end; those that still wait for room are called off."""
        begun = ray.get(self._post.stop.remote())
        for task, number in self._live.items():
            if number not in begun:
                ray.cancel(task)

    def end(self) -> None:
        """Stop all at once; what each has saved is on disk."""
        for task in self._live:
            ray.cancel(task, force=True)
        ray.kill(self._post)

    def _outcome(self, task: Any) -> Outcome:
        job = self._jobs[self._live.pop(task)]
        try:
            outcome: Outcome = ray.get(task)
        except TaskCancelledError:
            return Outcome(job, "interrupted", NOT_BEGUN)
        except RayTaskError as error:  # not the run's own, which is an outcome: the worker cannot even begin
            return Outcome(job, "failed", f"its Ray worker cannot run it: {error.cause}")
        except RayError as error:
            first = str(error).strip().partition("\n")[0]
            return Outcome(job, "failed", f"its Ray worker died, after {self._retries} retries too: {first}")
        return outcome._replace(job=job)


@contextmanager
def ray_tasks(retries: int = RETRIES) -> Iterator[RayTasks]:
    """Tasks on the cluster that this process is connected to, else on that of `connect`, left afterwards."""
    mine = not ray.is_initialized()
    if mine:
        connect()
    engine = RayTasks(retries)
    try:
        with redirect_stdout(sys.stderr):  # where Ray prints that a worker died
            yield engine
    finally:
        engine.end()
        if mine:
            ray.shutdown()


def connect() -> None:
    """Connect to the cluster that `RAY_ADDRESS` names, else start one on the processors of this machine."""
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _check(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    else:
        ray.init(
            "local",
            num_cpus=available_threads(),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def _check(address: str) -> None:
    """Raise `ConnectionError` where nothing answers: Ray itself tries for a quarter of an hour."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # such as `auto`
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}); correct it, or unset it for a Ray of this "
            "machine alone"
        ) from error


def _work(number: int, job: Job, means: Means, post: Any) -> Outcome:
    """What a task does: the job, until told to stop, or until nobody is there to tell any more."""
    stop, over, told = threading.Event(), threading.Event(), list[Any]()

    def tell(row: Row) -> None:
        told[:] = [post.put.remote(number, row)]

    with ThreadPoolExecutor() as aside:  # while the main thread of a task waits, Ray lends its CPUs to another task
        if not aside.submit(ray.get, post.begin.remote(number)).result():
            return Outcome(job, "interrupted", NOT_BEGUN)
        aside.submit(_await_stop, post.stopped.remote(), stop, over)
        try:
            wait_for_lock(job.folder)
            outcome = outcome_of(job, means, tell, stop.is_set)
        finally:
            over.set()
        if told:  # the outcome goes another way, and must not overtake it
            aside.submit(ray.wait, told, timeout=SECONDS_OF_A_LETTER).result()
    return outcome


def _await_stop(stopped: Any, stop: threading.Event, over: threading.Event) -> None:
    """Set `stop` once the post says so, or is no more, unless the work is `over` before."""
    while not (stop.is_set() or over.is_set()):
        if ray.wait([stopped], timeout=SECONDS_BETWEEN_LOOKS)[0]:
            stop.set()


def wait_for_lock(folder: Path, seconds: float = SECONDS_OF_A_LOCK) -> None:
    """Wait until no process holds the folder: the worker that had it before may have died a moment ago.

    Nothing is raised where the time is up: training refuses then, and says why.
    """
    deadline = time.monotonic() + seconds
    while folder.exists() and time.monotonic() < deadline:
        try:
            with locked(folder):
                return
        except ValueError:
            time.sleep(SECONDS_BETWEEN_LOOKS)
