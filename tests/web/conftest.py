"""The playground under test: in this process, on a real socket, and in a real Chromium."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from fewstep.web.app import create_app
from fewstep.web.serving import address_of, listen, server_of
from fewstep.web.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
SCREENSHOTS = "FEWSTEP_SCREENSHOTS"
"""The variable that names the folder which the pictures of the docs are written to."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of run folders that the playground is started with; a test file may have one of its own."""
    return tmp_path_factory.mktemp("playground") / "runs"


@pytest.fixture(scope="module")
def client(runs: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(runs=runs)), base_url="http://127.0.0.1:8000") as one:
        yield one


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[str]:
    """The address of a server on a free port."""
    serving = server_of(Settings(runs=runs))
    with listen(0) as listening:
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
        thread.start()
        yield address_of(listening)
        serving.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path: apt-get install chromium")
    with sync_playwright() as playwright:
        with_flags = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield with_flags
        with_flags.close()


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """An empty page at 1100 × 800 whose addresses begin at the server; errors of its scripts fail the test."""
    errors: list[str] = []
    context = browser.new_context(base_url=server, viewport={"width": 1100, "height": 800}, accept_downloads=True)
    one = context.new_page()
    one.on("pageerror", lambda error: errors.append(str(error)))
    one.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield one
    context.close()
    assert errors == []


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[..., Path]:
    """Takes the screenshot of a page as NAME.png, into $FEWSTEP_SCREENSHOTS where that is set; of its top, or whole."""
    folder = Path(os.environ.get(SCREENSHOTS) or tmp_path)

    def take(page: Page, name: str, *, top: int | None = None) -> Path:
        path, width = folder / f"{name}.png", (page.viewport_size or {"width": 0})["width"]
        clip: FloatRect | None = None if top is None else {"x": 0, "y": 0, "width": width, "height": top}
        page.screenshot(path=path, full_page=True, clip=clip)
        return path

    return take
