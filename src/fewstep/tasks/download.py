"""One file from the network onto the disk: whole and with the right checksum, or not at all."""

import hashlib
import http.client
import os
import re
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from fewstep.durable import sync_folder

_CHUNK_BYTES = 1 << 16


class DownloadError(OSError):
    """A download that did not bring the file asked for; the message says what came and what to do."""


class _TransientError(DownloadError):
    """A failure that may pass: worth another attempt."""


def download(
    url: str,
    path: Path,
    md5: str,
    attempts: int = 3,
    timeout_seconds: float = 30.0,
    backoff_seconds: float = 1.0,  # then twice that, four times that, ...
) -> None:
    """`url` to `path`, which appears only once it is complete and its MD5 is `md5`."""
    with _folder_aside(path.parent) as aside:
        partial = Path(aside) / path.name
        try:
            digest = _fetch_patiently(url, partial, attempts, timeout_seconds, backoff_seconds)
            if digest != md5:
                size = partial.stat().st_size
                raise DownloadError(f"{url} has md5 {digest} ({size} bytes), expected {md5}: another file")
        except DownloadError as error:
            raise DownloadError(f"{error}; {_by_hand(url, path)}") from error
        partial.replace(path)
        sync_folder(path.parent)


def html_title(head: bytes) -> str | None:
    """The title, else the first words, of the HTML page that begins with `head`; None if it is no page."""
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if not re.match(r"<(!doctype\s+html|html|head|body|title|meta|script)\b", text, re.IGNORECASE):
        return None
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = title.group(1) if title else re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    return " ".join(words.split())[:80]


def _by_hand(url: str, path: Path) -> str:
    return f"try again later, or on a machine with a network run `curl -fLO {url}` and place the file at {path}"


def _folder_aside(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder on the same disk as `folder`, so that the last step is a rename."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=folder, prefix=".download-")
    except OSError as error:
        reason = error.strerror or error
        raise DownloadError(f"cannot write in {folder} ({reason}); choose a folder that you may write to") from error


def _fetch_patiently(url: str, partial: Path, attempts: int, timeout_seconds: float, backoff_seconds: float) -> str:
    """`_fetch`, repeated after failures that may pass."""
    for attempt in range(1, attempts):
        try:
            return _fetch(url, partial, attempt, timeout_seconds)
        except _TransientError:
            time.sleep(backoff_seconds * 2 ** (attempt - 1))
    return _fetch(url, partial, attempts, timeout_seconds)


def _fetch(url: str, partial: Path, attempt: int, timeout_seconds: float) -> str:
    """The content of `url` into `partial`; returns its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    name = partial.name if attempt == 1 else f"{partial.name} (attempt {attempt})"
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with _open(url, timeout_seconds) as response, partial.open("wb") as file:
        expected = response.length
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task(name, total=expected)
            while chunk := _read_chunk(response, url, file.tell(), expected):
                if file.tell() == 0:
                    _refuse_html(chunk, url)
                file.write(chunk)
                digest.update(chunk)
                progress.advance(bar, len(chunk))
        _sync(file)
    return digest.hexdigest()


def _open(url: str, timeout_seconds: float) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "fewstep"})
    try:
        return cast(http.client.HTTPResponse, urllib.request.urlopen(request, timeout=timeout_seconds))
    except urllib.error.HTTPError as error:
        error.close()
        message = f"{url} answered {error.code} {error.reason}, expected the file"
        passing = error.code >= 500 or error.code in (408, 429)
        raise (_TransientError(message) if passing else DownloadError(message)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _TransientError(f"cannot reach {url} ({reason})") from error


def _read_chunk(response: http.client.HTTPResponse, url: str, got: int, expected: int | None) -> bytes:
    """The next bytes; empty at the end, which a server may not reach before it has sent all it announced."""
    size = f"{got} of {expected} bytes" if expected is not None else f"{got} bytes"
    try:
        chunk = response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _TransientError(f"the connection to {url} broke after {size} ({error!r})") from error
    if not chunk and expected is not None and got < expected:
        raise _TransientError(f"{url} came truncated: {size}")
    return chunk


def _refuse_html(head: bytes, url: str) -> None:
    title = html_title(head)
    if title is not None:
        raise DownloadError(f"{url} gave an HTML page ({title!r}), expected the file: a login page or a proxy")


def _sync(file: BinaryIO) -> None:
    """To the disk before the rename: a power cut must not leave an empty file under the final name."""
    file.flush()
    os.fsync(file.fileno())
