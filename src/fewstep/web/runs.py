"""What the page of runs asks for: the list, a run, its curves as they grow, and its pictures."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from fewstep.lock import locks_held
from fewstep.web.answers import DAMAGED, MISSING, DamagedError, NotThereError
from fewstep.web.run_answers import Curves, Detail, Row
from fewstep.web.run_folders import RunFolders, check_files, is_own, is_training, version_of
from fewstep.web.run_words import Read, damaged
from fewstep.web.settings import Settings

Name = Annotated[str, Query(min_length=1, max_length=400, description="a run, as the list names it")]
UNCHANGED: dict[int | str, dict[str, object]] = {304: {"description": "as the tag in If-None-Match says"}}
OF_REPORTS = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""Reports are whole in themselves: no script, no other file."""


Answer = TypeVar("Answer")


class Runs(BaseModel):
    """The runs below the folder that the playground was started with, the newest first, damaged ones last."""

    folder: str
    runs: list[Row]


class Listed(NamedTuple):
    """A row, and the version of the folder that it was read at."""

    version: str
    row: Row


def router(settings: Settings) -> APIRouter:
    """The addresses below `/api/runs`."""
    folders = RunFolders(settings.runs)
    runs = APIRouter(prefix="/api/runs", tags=["runs"])
    listed: dict[Path, Listed] = {}

    def read(name: str, folder: Path, *, training: bool) -> Read:
        try:
            check_files(folder)
            return Read(name, folder, folders.log(folder), training=training)
        except (ValueError, OSError) as error:
            raise DamagedError(str(error)) from error

    def row(name: str, folder: Path, held: frozenset[int] | None) -> Listed:
        training = is_training(folder, held)
        version = version_of(folder, training=training)
        if folder not in listed or listed[folder].version != version:
            try:
                found = read(name, folder, training=training).row()
            except DamagedError as error:
                found = damaged(name, folder, error)
            listed[folder] = Listed(version, found)
        return listed[folder]

    @runs.get("", responses=UNCHANGED, response_model=Runs)
    def list_runs(request: Request, response: Response) -> Runs | Response:
        held = locks_held()
        found = [row(name, folder, held) for name, folder in folders.by_name().items()]
        return _unless_known(
            request,
            response,
            "".join(f"{one.row.name} {one.version}" for one in found),
            lambda: Runs(folder=str(settings.runs), runs=sorted((one.row for one in found), key=_newest_first)),
        )

    @runs.get("/detail", responses={**MISSING, **DAMAGED})
    def show_run(name: Name) -> Detail:
        folder = folders.path(name)
        return read(name, folder, training=is_training(folder, locks_held())).detail()

    @runs.get("/curves", responses={**MISSING, **DAMAGED, **UNCHANGED}, response_model=Curves)
    def show_curves(name: Name, request: Request, response: Response) -> Curves | Response:
        folder = folders.path(name)
        training = is_training(folder, locks_held())
        version = version_of(folder, training=training)
        return _unless_known(request, response, version, lambda: read(name, folder, training=training).curves())

    @runs.get("/file", responses={**MISSING, 200: {"content": {"text/html": {}, "image/png": {}}}})
    def show_file(name: Name, file: Literal["report.html", "tasks.png", "adaptation.png"]) -> FileResponse:
        folder = folders.path(name)
        if not is_own(folder, file):
            raise NotThereError(f"run '{name}' has no {file} yet")
        headers = {"content-security-policy": OF_REPORTS} if file == "report.html" else {}
        return FileResponse(folder / file, headers=headers)

    return runs


def _newest_first(row: Row) -> tuple[bool, float]:
    return row.status == "damaged", -row.changed


def _unless_known(request: Request, response: Response, version: str, make: Callable[[], Answer]) -> Answer | Response:
    """What `make` makes, tagged; 304 for who has that already."""
    tag = f'"{hashlib.sha256(version.encode()).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    response.headers["etag"] = tag
    return make()
