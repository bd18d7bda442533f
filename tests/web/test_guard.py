"""What the playground refuses before any page sees it."""

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from fewstep.web.settings import Settings

HERE = "127.0.0.1:8000"


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9", "localhost", "[::1]:8000"])
def test_this_machine_is_answered_under_each_of_its_names(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "192.168.0.4:8000", "[::1", ""])
def test_a_name_that_is_not_ours_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "localhost" in answer.json()["detail"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", f"https://{HERE}"])
def test_another_origin_is_refused(client: TestClient, origin: str) -> None:
    assert client.get("/", headers={"origin": origin}).status_code == 403


def test_the_pages_own_origin_is_answered(client: TestClient) -> None:
    assert client.get("/", headers={"origin": f"http://{HERE}", "sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(("mode", "status"), [("navigate", 200), ("no-cors", 403), ("cors", 403)])
def test_another_site_may_link_to_a_page_but_not_ask_for_it(client: TestClient, mode: str, status: int) -> None:
    answer = client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": mode})
    assert answer.status_code == status


def test_a_body_that_says_it_is_too_large_is_refused_unread(client: TestClient) -> None:
    answer = client.post("/", content=b"", headers={"content-length": str(Settings().body_limit + 1)})
    assert answer.status_code == 413


def test_a_body_that_turns_out_too_large_is_refused(server: str) -> None:
    """Sent in chunks, so that no length is said before."""

    def chunks() -> Iterator[bytes]:
        for _ in range(Settings().body_limit // 2**20 + 1):
            yield b"x" * 2**20

    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=60)
    connection.request("POST", "/", body=chunks(), encode_chunked=True, headers={"transfer-encoding": "chunked"})
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"bytes" in answer.read()


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for address in ("/", "/static/page.css", "/nowhere", "/openapi.json"):
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/nowhere"])
def test_nothing_outside_the_static_files_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
