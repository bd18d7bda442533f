"""Every address of the playground against its own OpenAPI schema, with requests that schemathesis makes up."""

import base64
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image
from planted_runs import SINUSOID, STROKES, planted_runs
from schemathesis import Case

from fewstep.web.app import create_app
from fewstep.web.settings import Settings


def _drawing(rows: list[bytes]) -> str:
    file = io.BytesIO()
    Image.frombytes("L", (8, len(rows)), b"".join(rows)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


schemathesis.openapi.format(
    "image-base64", st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=8).map(_drawing)
)
FOLDER = Path(tempfile.gettempdir()) / f"fewstep-playground-{os.getpid()}"
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]

NAMES = [STROKES, SINUSOID, "broken", "linked", "study", "..", "../outside", "%2e%2e/outside"]
CONFIG = schemathesis.Config.from_dict(
    {
        "dictionaries": {
            "runs": {"values": NAMES},
            "learners": {"values": ["omniglot-protomaml", STROKES, "broken", "linked"]},
        },
        "parameters": {
            "query.name": {"dictionary": "runs", "probability": 0.7},
            "body.learner": {"dictionary": "learners", "probability": 0.7},
            "body.own": {"dictionary": "runs", "probability": 0.5},
        },
    }
)

APP = create_app(Settings(runs=FOLDER / "runs"))
schema = schemathesis.openapi.from_asgi("/openapi.json", APP, config=CONFIG, headers={"host": "localhost"})
schema.config.update(base_url="http://localhost")


@cache
def _lesson() -> str:
    """A lesson that is kept; its name cannot be made up."""
    drawings = {name: [_drawing([bytes([shade] * 8)] * 8)] for name, shade in (("light", 250), ("dark", 5))}
    client = TestClient(APP, base_url="http://localhost")
    taught = client.post("/api/teach/lessons", json={"learner": "omniglot-protomaml", "symbols": drawings})
    return str(taught.json()["id"])


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Of the names of lessons that are names at all, half are of one that is kept."""
    if re.fullmatch("[0-7][0-9a-f]{31}", str((case.path_parameters or {}).get("lesson"))):
        case.path_parameters["lesson"] = _lesson()


@pytest.fixture(scope="module", autouse=True)
def runs() -> Iterator[Path]:
    yield planted_runs(FOLDER)
    shutil.rmtree(FOLDER)


@schema.parametrize()
@settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_a_few_made_up_requests_find_nothing(case: Case) -> None:
    case.call_and_validate()


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=400, deadline=None, database=None, suppress_health_check=QUIET)
def test_many_made_up_requests_find_nothing(case: Case) -> None:
    case.call_and_validate()
