"""What the page of runs asks for: the list, a run, its curves as they grow, and its pictures."""

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from fewstep.web.answers import MISSING, NotThereError
from fewstep.web.run_folders import RunFolders, version_of
from fewstep.web.run_words import Curves, Detail, Read, Row, damaged
from fewstep.web.settings import Settings

Name = Annotated[str, Query(min_length=1, max_length=400, description="a run, as the list names it")]
UNCHANGED: dict[int | str, dict[str, object]] = {304: {"description": "as the tag in If-None-Match says"}}
OF_REPORTS = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""Reports are whole in themselves: no script, no other file."""


class Runs(BaseModel):
    """The runs below the folder that the playground was started with, the newest first, damaged ones last."""

    folder: str
    runs: list[Row]


def router(settings: Settings) -> APIRouter:
    """The addresses below `/api/runs`."""
    folders = RunFolders(settings.runs)
    runs = APIRouter(prefix="/api/runs", tags=["runs"])

    def read(name: str, folder: Path) -> Read:
        return Read(name, folder, folders.log(folder))

    def row(name: str, folder: Path) -> Row:
        try:
            return read(name, folder).row()
        except (ValueError, OSError, KeyError, TypeError) as error:
            return damaged(name, folder, error)

    @runs.get("")
    def list_runs() -> Runs:
        found = [row(name, folder) for name, folder in folders.by_name().items()]
        return Runs(
            folder=str(settings.runs), runs=sorted(found, key=lambda one: (one.status == "damaged", -one.changed))
        )

    @runs.get("/detail", responses=MISSING)
    def show_run(name: Name) -> Detail:
        return read(name, folders.path(name)).detail()

    @runs.get("/curves", responses={**MISSING, **UNCHANGED}, response_model=Curves)
    def show_curves(name: Name, request: Request, response: Response) -> Curves | Response:
        folder = folders.path(name)
        version = version_of(folder)
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers={"etag": version})
        response.headers["etag"] = version
        return read(name, folder).curves()

    @runs.get("/file", responses={**MISSING, 200: {"content": {"text/html": {}, "image/png": {}}}})
    def show_file(name: Name, file: Literal["report.html", "tasks.png", "adaptation.png"]) -> FileResponse:
        folder = folders.path(name)
        path = folder / file
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise NotThereError(f"run '{name}' has no {file} yet")
        headers = {"content-security-policy": OF_REPORTS} if file == "report.html" else {}
        return FileResponse(path, headers=headers)

    return runs
