"""An attack on every route of the desk: the list of routes is the application's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from support.desk import HOST, TOKEN, client
from support.doubles import colour, contents, grey, register_ink, save_ink
from support.needs import package

from archivecolor.provenance import read_rows

try:
    from archivecolor.review.desk.server import Desk, application

    ROUTES = application(Desk.__new__(Desk), TOKEN, (HOST,)).app.routes  # type: ignore[attr-defined]
except ImportError:
    ROUTES = []
SAMPLES = {"key": "k", "side": "before", "path": "ab/x.jpg"}


def address(route: Any, sample: str = "0") -> str:
    """A route's address with a value in the place of each parameter."""
    return re.sub(r"{(\w+)(:\w+)?}", lambda match: SAMPLES.get(match[1], sample), route.path)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    package("starlette")
    package("httpx")
    register_ink()
    root = tmp_path_factory.mktemp("attacked")
    for name in ("a.png", "b.png"):
        (root / "src").mkdir(exist_ok=True)
        Image.fromarray(grey(40, 56, seed=ord(name[0]))).save(root / "src" / name)
    colour(root / "src", out=root / "out", model=save_ink(root / "ink"))
    Image.fromarray(grey(8, 8)).save(root / "secret.jpg")
    with client(root / "out", inputs=root / "src") as made:
        made.root = root
        yield made


def bodies(desk: Any) -> list[dict[str, object]]:
    """Requests that would do something, if they came from the desk's own page."""
    name, row = next(iter(read_rows(desk.root / "out").items()))
    decision = {"input": name, "decision": "accepted", "output_sha256": row.output_sha256, "note": ""}
    return [{"decisions": [decision], "input": name, "key": "k", "model": "lite", "do": "export", "x": 0, "y": 0}]


def raw(desk: Any, method: str, path: str, headers: dict[str, str], *parts: bytes) -> int:
    """The status that the application gives to a request that no client would send as it is."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    status: list[int] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    desk.portal.call(desk.app, scope, receive, send)
    return status[0]


STRANGERS = {
    "another page": {"origin": "http://evil.example"},
    "a page without an address": {"origin": "null"},
    "the same machine, another port": {"origin": "http://127.0.0.1:1"},
    "the desk's own name in https": {"origin": f"https://{HOST}"},
    "a name that is pointed here": {"host": "evil.example:7777"},
    "no port": {"host": "127.0.0.1"},
    "another site": {"sec-fetch-site": "cross-site"},
    "another port of this site": {"sec-fetch-site": "same-site"},
}
TOKENS = ("", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "%61" * 20, f"..%2f{TOKEN}")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_refuses_whoever_is_not_the_desks_own_page(desk: Any, route: Any) -> None:
    path, before = address(route), contents(desk.root)
    own = "POST" if "POST" in route.methods else "GET"
    json = {"content-type": "application/json"}
    for body in bodies(desk):
        for who, headers in STRANGERS.items():
            assert desk.request(own, path[1:], headers=headers, json=body).status_code == 403, who
        for token in TOKENS:
            answer = desk.request(own, f"http://{HOST}/{token}{path}", json=body)
            assert answer.status_code in (403, 404) and TOKEN not in answer.text, token
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - set(route.methods):
            assert desk.request(method, path[1:], json=body).status_code in (403, 405), method
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""):
            refused = {"content-type": kind} if kind else {}
            assert raw(desk, "POST", f"/{TOKEN}{path}", {"host": HOST, **refused}, b"{}") == 403, kind
    for length in ("5000000", "9" * 5000, "-1", "x", "1e9"):
        assert raw(desk, own, f"/{TOKEN}{path}", {"host": HOST, **json, "content-length": length}, b"{}") == 403
    chunks = [b" " * (1 << 20)] * 6
    assert raw(desk, "POST", f"/{TOKEN}{path}", {"host": HOST, **json}, *chunks) in (400, 405)
    for climb in ("/../", "/..%2f", "/%2e%2e/", "//", "/\\..\\", "/./..//"):
        for file in ("secret.jpg", "etc/passwd", "out/manifest.jsonl"):
            status = raw(desk, own, f"/{TOKEN}{path}{climb}{climb}{file}", {"host": HOST, **json}, b"{}")
            assert status in (400, 403, 404, 405), (climb, file)
    if ":int" in route.path:
        long = f"/{TOKEN}{address(route, '9' * 5000)}"
        assert raw(desk, own, long, {"host": HOST, **json}, b"{}") == 403
    assert contents(desk.root) == before, "nothing was written, and nothing is at work"
    assert desk.desk.tasks.state.kind == ""


@pytest.mark.parametrize("route", [route for route in ROUTES if "{path" in route.path], ids=lambda route: route.path)
def test_no_link_is_followed(desk: Any, route: Any) -> None:
    """Where a file is served by its name, a link in its place leads nowhere."""
    folder = {"/pictures": desk.desk.folder, "/outputs": desk.root / "out"}.get(route.path.split("/{")[0])
    if folder is None:
        assert desk.get(f"{route.path.split('/{')[0][1:]}/../index.html").status_code == 404, "the package's own files"
        return
    row = next(iter(read_rows(desk.root / "out").values()))
    name = f"pictures/ab/{'c' * 24}-240.jpg" if "pictures" in route.path else f"outputs/{row.output}"
    file = folder / (name if "pictures" in route.path else str(row.output))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to(desk.root / "secret.jpg")
    assert desk.get(name).status_code == 404


def test_the_list_of_routes_is_whole() -> None:
    package("starlette")
    assert {"/", "/decide", "/keep", "/task", "/outputs/{path:path}"} < {route.path for route in ROUTES}
    assert len(ROUTES) > 15
