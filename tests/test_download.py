"""`download` against a real server on this machine: what arrives, what is refused, what is left behind."""

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from fewstep.tasks.download import DownloadError, download, html_title

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Reply(NamedTuple):
    status: int = 200
    body: bytes = CONTENT
    announced: int | None = None  # Content-Length, where it is not the body's own
    kind: str = "application/zip"


class Server(ThreadingHTTPServer):
    replies: list[Reply]  # the last one is repeated
    requests: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/images.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        replies = self.server.replies
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body) if reply.announced is None else reply.announced))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.replies, running.requests = [Reply()], []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(url: str, path: Path, md5: str = MD5, attempts: int = 3) -> None:
    download(url, path, md5, attempts=attempts, timeout_seconds=5, backoff_seconds=0.01)


def refused(url: str, path: Path, md5: str = MD5) -> str:
    """The message of the refusal, after which nothing may be left in the folder."""
    with pytest.raises(DownloadError) as caught:
        fetch(url, path, md5)
    assert list(path.parent.iterdir()) == []
    return str(caught.value)


def test_a_download_arrives_whole_and_alone(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "images.zip"
    fetch(server.url, path)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert server.requests == ["/images.zip"]


def test_no_progress_is_shown_where_there_is_no_terminal(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(server.url, tmp_path / "images.zip")
    assert capfd.readouterr() == ("", "")


def test_a_server_error_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.replies = [Reply(status=500, body=b"busy"), Reply()]
    fetch(server.url, tmp_path / "images.zip")
    assert (tmp_path / "images.zip").read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_truncated_download_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.replies = [Reply(body=CONTENT[:70_000], announced=len(CONTENT)), Reply()]
    fetch(server.url, tmp_path / "images.zip")
    assert (tmp_path / "images.zip").read_bytes() == CONTENT


def test_a_download_that_stays_truncated_says_how_much_came(server: Server, tmp_path: Path) -> None:
    server.replies = [Reply(body=CONTENT[:70_000], announced=len(CONTENT))]
    message = refused(server.url, tmp_path / "images.zip")
    assert "70000 of 256000 bytes" in message
    assert len(server.requests) == 3


def test_attempts_are_counted_before_giving_up(server: Server, tmp_path: Path) -> None:
    server.replies = [Reply(status=503, body=b"busy")]
    assert "answered 503" in refused(server.url, tmp_path / "images.zip")
    assert len(server.requests) == 3


def test_a_missing_page_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.replies = [Reply(status=404, body=b"")]
    assert "answered 404" in refused(server.url, tmp_path / "images.zip")
    assert len(server.requests) == 1


def test_an_html_page_is_named_by_its_title(server: Server, tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><html><head><title>Hotel\n Wi-Fi</title></head>" + b"x" * 1000
    server.replies = [Reply(body=page, kind="text/html")]
    message = refused(server.url, tmp_path / "images.zip")
    assert "HTML page ('Hotel Wi-Fi')" in message
    assert len(server.requests) == 1


def test_a_wrong_checksum_names_both_and_keeps_the_file_that_was_there(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(b"before")
    with pytest.raises(DownloadError, match=f"has md5 {MD5} .*, expected {'0' * 32}"):
        fetch(server.url, path, "0" * 32)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unreachable_server_says_what_to_do_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/images.zip"
        message = refused(url, tmp_path / "images.zip")
    assert f"cannot reach {url}" in message
    assert f"`curl -fLO {url}`" in message
    assert f"place the file at {tmp_path / 'images.zip'}" in message


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"cannot write in .*file"):
        fetch(server.url, tmp_path / "file" / "images.zip")
    assert server.requests == []


@pytest.mark.parametrize(
    ("head", "title"),
    [
        (b"<html><title>Sign in</title>", "Sign in"),
        (b"\xef\xbb\xbf\n<!doctype HTML><style>p {}</style><p>Please <b>wait</b></p>", "Please wait"),
        (b"PK\x03\x04<html>", None),
        (b"", None),
    ],
)
def test_an_html_page_is_told_from_other_files(head: bytes, title: str | None) -> None:
    assert html_title(head) == title
