"""The pages as such: whole, complete, and served to this machine alone."""

import re
import socket

import pytest
from fastapi.testclient import TestClient

from fewstep.cli import main
from fewstep.web.pages import PAGES
from fewstep.web.serving import listen


@pytest.mark.parametrize("address", list(PAGES))
def test_all_that_a_page_asks_for_is_there(client: TestClient, address: str) -> None:
    html = client.get(address).text
    asked = re.findall(r'(?:href|src)="(/[^"]*)"', html)
    assert len(asked) > 4
    assert {found: client.get(found).status_code for found in asked} == dict.fromkeys(asked, 200)


@pytest.mark.parametrize("address", list(PAGES))
def test_a_page_names_itself_in_the_navigation(client: TestClient, address: str) -> None:
    assert f'href="{address}" aria-current="page"' in client.get(address).text


def test_no_page_asks_another_server(client: TestClient) -> None:
    for address in PAGES:
        assert not re.search(r'(?:href|src)="(?:https?:)?//', client.get(address).text)


def test_the_socket_is_on_loopback() -> None:
    with listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_an_answer_does_not_wait_until_its_headers_are_acknowledged() -> None:
    with listen(0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with listen(0) as listening:
        port = listening.getsockname()[1]
        assert main(["play", "--port", str(port)]) == 1
    assert capsys.readouterr().err.startswith(f"fewstep: error: port {port} cannot be used")
