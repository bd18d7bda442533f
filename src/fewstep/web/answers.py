"""What the playground says where it cannot do what was asked: always one sentence."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": Problem, "description": "not JSON"},
    403: {"model": Problem, "description": "of another origin"},
    413: {"model": Problem, "description": "too large"},
    422: {"model": Problem, "description": "not valid"},
}
"""What every address may answer."""

MISSING: dict[int | str, dict[str, object]] = {404: {"model": Problem, "description": "not there"}}
"""What an address that names something may answer besides."""


DAMAGED: dict[int | str, dict[str, object]] = {409: {"model": Problem, "description": "damaged"}}
"""What an address that names files may answer besides."""


class NotThereError(Exception):
    """What an address names is not there."""


class DamagedError(Exception):
    """What an address names is there, but damaged."""


def say_why(app: FastAPI) -> None:
    """Give errors their answers.

    404 for `NotThereError`, 409 for `DamagedError`, 422 for what does not fit the schema and for `ValueError`.
    """
    app.add_exception_handler(NotThereError, lambda _, error: _answer(404, str(error)))
    app.add_exception_handler(DamagedError, lambda _, error: _answer(409, str(error)))
    app.add_exception_handler(ValueError, lambda _, error: _answer(422, str(error)))
    app.add_exception_handler(RequestValidationError, _say_invalid)
    app.add_exception_handler(HTTPException, _say_http)


def _say_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return _answer(422, "; ".join(found))


def _say_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": str(error.detail)}, status_code=error.status_code, headers=error.headers)


def _answer(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
