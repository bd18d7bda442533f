"""The pages of the playground, rendered from their templates."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

PAGES = {"/": ("teach", "Teach me a symbol"), "/curves": ("curves", "Bend the curve"), "/runs": ("runs", "Runs")}
"""Address, name of the template and the script, and title, in the order of the navigation."""


def router() -> APIRouter:
    """An address for every page."""
    environment = Environment(
        loader=PackageLoader("fewstep", "web/templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
    for address, (name, title) in PAGES.items():
        html = environment.get_template(f"{name}.html.jinja").render(pages=PAGES, here=address, title=title, name=name)
        pages.add_api_route(address, _shows(html), methods=["GET", "HEAD"])
    return pages


def _shows(html: str) -> Callable[[], HTMLResponse]:
    def show() -> HTMLResponse:
        return HTMLResponse(html)

    return show
