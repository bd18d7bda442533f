"""The playground as one ASGI application: pages, what they are drawn with, and what they ask for."""

from importlib import metadata, resources

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from fewstep.web import curves, pages, runs, teach
from fewstep.web.answers import REFUSALS, say_why
from fewstep.web.guard import Guard
from fewstep.web.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The application; `/openapi.json` describes what its pages ask for."""
    app = FastAPI(
        title="fewstep playground",
        version=metadata.version("fewstep"),
        docs_url=None,  # its scripts would come from the network
        redoc_url=None,
        responses=REFUSALS,
    )
    say_why(app)
    app.include_router(pages.router())
    app.include_router(teach.router(settings))
    app.include_router(curves.router(settings))
    app.include_router(runs.router(settings))
    app.mount("/static", StaticFiles(directory=str(resources.files("fewstep.web") / "static")))
    app.add_middleware(Guard, body_limit=settings.body_limit)
    return app
