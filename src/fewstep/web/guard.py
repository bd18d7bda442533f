"""Who may ask the playground, and how much at once: an ASGI wrapper around the whole application.

A page of the internet can send requests to a server on loopback through its visitor's browser. Such requests name
another origin, or reach us under a name that is not ours (DNS rebinding); both are refused.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class RefusedError(Exception):
    """A request that goes no further: an HTTP status and one sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Guard:
    """Passes on what comes from this machine and this page, in bodies of at most `body_limit` bytes.

    Others get 403, larger ones 413, as `{"detail": sentence}`. Every answer carries the security headers that it does
    not set itself.
    """

    def __init__(self, app: Application, *, body_limit: int) -> None:
        self._app, self._body_limit = app, body_limit

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # the start and the end of the server; there are no web sockets
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        try:
            _check_origin(headers)
            body = await _read_body(headers, receive, self._body_limit)
        except RefusedError as refused:
            answer = JSONResponse(
                {"detail": refused.detail}, status_code=refused.status, headers={"connection": "close"}
            )
            await answer(scope, receive, send_guarded)
            return
        await self._app(scope, _replayed(body, receive), send_guarded)


def _check_origin(headers: Headers) -> None:
    host = headers.get("host", "")
    if _hostname(f"//{host}") not in LOOPBACK:
        raise RefusedError(403, f"this page is for this machine: ask for localhost or 127.0.0.1, not for '{host}'")
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        raise RefusedError(403, f"requests of other pages are refused: '{origin}' is not http://{host}")
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
    if site not in ("none", "same-origin") and mode != "navigate":
        raise RefusedError(403, "requests of other pages are refused")


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # as of '[::1', a bracket that does not close
        return None


async def _read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    said = headers.get("content-length", "0")
    if said.isdecimal() and int(said) > limit:
        raise RefusedError(413, f"a request has {said} bytes, the most is {limit}: send fewer or smaller images")
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":  # the client has gone
            break
        chunks.append(message.get("body", b""))
        size, more = size + len(chunks[-1]), message.get("more_body", False)
        if size > limit:
            raise RefusedError(413, f"a request has more than {limit} bytes: send fewer or smaller images")
    return b"".join(chunks)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body in one piece, then whatever else comes."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
