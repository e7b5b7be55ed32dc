"""Who may speak to the desk: this machine's own browser, from the desk's own page, and nobody else.

Every address begins with a random token. The Host header must name the address that the desk listens at, so that a
name that an attacker points here (DNS rebinding) is refused; a request that comes from another page says so in Origin
or Sec-Fetch-Site, and is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection as Members

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 4 << 20
"""Bytes of a request. 20,000 decisions at once have less."""
MAX_PATH = 4200
"""Characters of an address: as long as a name of a file can be. Python reads no number that is longer."""
HEADERS = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Guard:
    """ASGI middleware. Passes requests on below their token; `path` then begins after it.

    Args:
        token: the first part of every address.
        hosts: the values of the Host header that are the desk's own, with the port.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Members[str]) -> None:
        self.app, self.token, self.hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if refused := self._refusal(scope, headers):
            await PlainTextResponse(refused, 403)(scope, receive, _with_headers(send))
            return
        rest = scope["path"][len(self.token) + 1 :]
        if rest == "":  # relative addresses in the page need the slash
            redirect = PlainTextResponse("", 307, {"location": f"/{self.token}/"})
            await redirect(scope, receive, _with_headers(send))
            return
        inner = {**scope, "path": rest, "raw_path": rest.encode(), "root_path": ""}
        await self.app(inner, _bounded(receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        """Why a request is refused, or ""."""
        if len(scope["path"]) > MAX_PATH:
            return "the address is too long"
        first = scope["path"].split("/")[1] if scope["path"].startswith("/") else ""
        if not secrets.compare_digest(first.encode("utf-8", "replace"), self.token.encode()):
            return "the address lacks the token; open the one that `archivecolor review` printed"
        if headers.get(b"host", b"").decode("latin1") not in self.hosts:
            return "the Host header names another machine"
        origin = headers.get(b"origin", b"").decode("latin1")
        if origin and origin not in {f"http://{host}" for host in self.hosts}:
            return "the request comes from another page"
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            return "the request comes from another page"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return "only GET and POST are answered"
        # A form of another page cannot send this type without asking first.
        if scope["method"] == "POST" and not headers.get(b"content-type", b"").startswith(b"application/json"):
            return "a POST must be JSON"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
            return "the request is too large"
        return ""


def _bounded(receive: Receive) -> Receive:
    """Ends a request whose body is larger than it said."""
    taken = 0

    async def next_message() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return message if taken <= MAX_BODY else {"type": "http.disconnect"}

    return next_message


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            extra = [(name, value) for name, value in HEADERS if name not in names]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return send_with_headers
