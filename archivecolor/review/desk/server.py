"""The desk's web application. Each address below is one call of the package; nothing is done here that the command line
could not do."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from archivecolor.errors import ArchivecolorError, PictureError, UsageError
from archivecolor.options import ReportOptions, ReviewOptions, RunOptions
from archivecolor.provenance import Record
from archivecolor.provenance.decisions import Decision
from archivecolor.review import page_data, report, thumbnails
from archivecolor.review.desk.body import Body, integer, text
from archivecolor.review.desk.collection import Collection
from archivecolor.review.desk.corrections import HISTORICAL_COLOURS, Correction, Workshop, made_with, models
from archivecolor.review.desk.guard import Guard
from archivecolor.review.desk.pictures import TILE, OpenPicture, OpenPictures, Side, read_frame, read_page
from archivecolor.review.desk.recorded import recorded_run
from archivecolor.review.desk.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCRIPTS = ("report.css", "report.js", "desk.css", "desk.js", "viewer.js")
_REDUCED = re.compile(r"pictures/[0-9a-f]{2}/[0-9a-f]{24}-[0-9]+\.jpg")
_SHA256_PART = 26
"""Digits in the names of reduced pictures; see `thumbnails.file_name`."""


class Desk:
    """What all requests share.

    Args:
        options: the output folder, and where the inputs and the reduced pictures are.

    Raises:
        NoInputError, OutputError, UsageError: there is nothing to review, or the folder for reduced pictures cannot be
            used.
    """

    def __init__(self, options: ReviewOptions) -> None:
        self.options = options
        self.report_options = ReportOptions(out=options.out, to=options.to, view=options.view)
        self.collection = Collection(options.out, options.inputs)
        self.folder = self.report_options.folder()
        rows = list(self.collection.rows.values())
        report.refuse(self.folder, options.out, rows)
        self.folder.mkdir(parents=True, exist_ok=True)
        report.mark(self.folder, options.out)
        self.pictures = OpenPictures()
        self.workshop = Workshop(options.device)
        self.tasks = Tasks(self.collection)
        self._shown: dict[str, str] = {}
        """The name of the input that has a picture, by the part of its SHA-256 that names its reduced copy."""
        self._note_shown(rows)

    def warm_up(self) -> None:
        """Loads the weights that most pictures were coloured with."""
        (model, _), *_ = Counter(row.model for row in self.collection.rows.values()).most_common(1)
        self.workshop.warm_up(model)

    def close(self) -> None:
        """Stops what is at work."""
        self.tasks.close()
        self.workshop.close()
        self.collection.close()

    # --- the page ----------------------------------------------------------------------------------------------------

    def index(self) -> str:
        return report.page(self.report_options, list(self.collection.rows.values()), desk=True)

    def data(self) -> str:
        """The script with all rows and decisions."""
        rows = self.collection.rows.values()
        last, _ = self.collection.changes(0)
        more: dict[str, object] = {
            "decisions": [asdict(one) for one in self.collection.decisions.values()],
            "change": last,
            "models": models(),
            "colours": HISTORICAL_COLOURS,
            "tile": TILE,
            "can_run": self.options.inputs is not None,
            "export_to": str(self._export_to()),
        }
        return page_data.as_script(self.collection.name, self.options.view, rows, {}, more)

    def thumbnail(self, name: str) -> Path:
        """A reduced picture; it is made if it is not there yet.

        Raises:
            PictureError: it cannot be made.
        """
        if not _REDUCED.fullmatch(name):  # `..` leads out of the folder
            raise PictureError("no such picture")
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):  # a link
            raise PictureError("no such picture")
        if path.is_file() and path.stat().st_size:
            return path
        start = name.removeprefix(f"{thumbnails.PICTURES}/").replace("/", "")[:_SHA256_PART]
        row = self.collection.row(self._shown.get(start, ""))
        both = (thumbnails.THUMB, self.options.view)
        wanted = [one for one in report.wanted_of(row, self.report_options) if one.sha256.startswith(start)]
        reasons = thumbnails.make([replace(one, sides=both) for one in wanted], self.folder, 1)
        if not path.is_file():
            raise PictureError(next(iter(reasons.values()), "no such picture"))
        return path

    def output(self, name: str) -> Path:
        """An output file that a row names, for playing a film or saving a picture.

        Raises:
            PictureError: no row names it.
        """
        row = next((row for row in self.collection.rows.values() if row.output == name), None)
        path = self.collection.output_of(row) if row else Path()
        if not path.is_file():
            raise PictureError("no such output")
        return path

    def changes(self, since: int) -> dict[str, object]:
        """What other windows and runs changed since."""
        last, names = self.collection.changes(since)
        rows = [self.collection.row(name) for name in names]
        self._note_shown(rows)
        decisions = self.collection.decisions
        return {
            "change": last,
            "rows": page_data.as_values(rows) if rows else None,
            "decisions": {name: asdict(decisions[name]) if name in decisions else None for name in names},
            "task": asdict(self.tasks.state),
        }

    def decide(self, body: Body) -> dict[str, object]:
        made = body.get("decisions")
        if not isinstance(made, list):
            raise UsageError("decisions must be a list")
        try:
            decisions = [Decision.parse(one) for one in made]
        except ValueError as error:
            raise UsageError(str(error)) from error
        return {"change": self.collection.decide(decisions)}

    # --- one picture -------------------------------------------------------------------------------------------------

    def open(self, body: Body) -> dict[str, object]:
        """Opens a picture for the viewer."""
        row, part = self.collection.row(text(body, "input")), integer(body, "part", 0)
        before, _ = page_data.shown(row)
        if not before:
            raise PictureError(f"{row.input}: was not coloured ({row.reason})")
        key = _key(row, part)
        picture = self.pictures.open(key, partial(self._opened, row, part))
        return {
            "key": key,
            "width": picture.width,
            "height": picture.height,
            "levels": len(picture.levels),
            "part": part,
            "parts": picture.labels,
            "can_correct": picture.photo is not None,
            "made": made_with(row, self.collection).values(),
            "draft": self.collection.drafts.of(row),
        }

    def _opened(self, row: Record, part: int) -> OpenPicture:
        _, after = page_data.shown(row)
        source, output = self.collection.source_of(row), self.collection.output_of(row) if after else None
        if not row.film:
            result = partial(read_page, output, part) if output else None
            return OpenPicture(read_page(source, part), result, row.input)
        frame = read_frame(source, report.stills_of(row), part, report.read_as(row))
        times, read_as = report.made_as(row)
        result = partial(read_frame, output, times, part, read_as) if output else None
        return OpenPicture(frame, result, row.input)

    def swatches(self, body: Body) -> dict[str, object]:
        """The colours of an open picture."""
        return {"swatches": self.pictures.get(text(body, "key")).swatches()}

    def preview(self, body: Body) -> dict[str, object]:
        """Shows an open picture with other settings, and keeps these as a draft until the picture is coloured anew."""
        picture, correction = self.pictures.get(text(body, "key")), Correction.of(body)
        row = self.collection.row(picture.name)
        version = self.workshop.preview(picture, correction, self.collection)
        is_changed = correction != made_with(row, self.collection)
        self.collection.drafts.set(row, correction.values() if is_changed else None)
        return {"version": version, "flags": correction.flags(self.collection), "swatches": picture.swatches()}

    def discard(self, body: Body) -> dict[str, object]:
        """Removes a picture's draft."""
        row = self.collection.row(text(body, "input"))
        self.collection.drafts.set(row, None)
        return {"made": made_with(row, self.collection).values()}

    def colour(self, body: Body) -> dict[str, object]:
        """The colour at a place: a hint of this colour leaves the place as it is."""
        picture = self.pictures.get(text(body, "key"))
        side = Side.PREVIEW if body.get("side") == "preview" else Side.AFTER
        return {"colour": picture.colour_at(integer(body, "x"), integer(body, "y"), side)}

    def keep(self, body: Body) -> dict[str, object]:
        """Colours a file anew with other settings: of all its pages."""
        row = self.collection.row(text(body, "input"))
        picture = self.pictures.get(text(body, "key"))
        made = self.workshop.keep(row, picture, Correction.of(body), self.collection)
        self.collection.drafts.set(row, None)
        self._note_shown([made])
        return {"input": made.input, "output_sha256": made.output_sha256}

    # --- tasks -------------------------------------------------------------------------------------------------------

    def task(self, body: Body) -> dict[str, object]:
        """Starts, holds or ends a task."""
        wanted = text(body, "do")
        if wanted in ("run", "redo"):
            self.tasks.run(self._run_options(body, redo=wanted == "redo"))
        elif wanted == "verify":
            self.tasks.verify()
        elif wanted == "export":
            self.tasks.export(self._export_to())
        elif wanted in ("pause", "resume", "stop"):
            getattr(self.tasks, wanted)()
        else:
            raise UsageError(f"task {wanted!r}: choose run, redo, verify, export, pause, resume or stop")
        return asdict(self.tasks.state)

    def _run_options(self, body: Body, redo: bool) -> RunOptions:
        if self.options.inputs is None:
            raise UsageError("to run from the page, start `archivecolor review` with --inputs")
        options = recorded_run(self.collection)
        options = replace(options, inputs=(str(self.options.inputs),), device=self.options.device)
        if not redo:
            return options
        correction = Correction.of(body)
        color = replace(correction.color_options(self.collection), hints=(), neutral=())  # they are for one picture
        return replace(options, redo=self.collection.path, model=correction.model, color=color)

    def _export_to(self) -> Path:
        whole = self.options.out.resolve()
        return self.options.export_to or whole.with_name(f"{whole.name}-accepted")

    def _note_shown(self, rows: Iterable[Record]) -> None:
        self._shown |= {sha256[:_SHA256_PART]: row.input for row in rows for sha256 in page_data.shown(row) if sha256}


# --- requests --------------------------------------------------------------------------------------------------------


def application(desk: Desk, token: str, hosts: tuple[str, ...]) -> Guard:
    """The ASGI application, behind its guard."""

    def page(make: Callable[[], str], kind: str) -> Callable[[Request], Awaitable[Response]]:
        return _answered(lambda request: Response(make(), media_type=kind))

    def tile(request: Request) -> Response:
        values = request.path_params
        picture = desk.pictures.get(values["key"])
        place = (values["level"], values["column"], values["row"])
        data = picture.tile(Side(values["side"]), *place)
        # A tile of a newer preview than the address says must not be kept under that address.
        is_named = values["side"] != Side.PREVIEW or values["version"] == picture.version
        headers = {"cache-control": "private, max-age=3600"} if is_named else {}
        return Response(data, media_type="image/jpeg", headers=headers)

    def thumbnail(request: Request) -> Response:
        headers = {"cache-control": "private, max-age=3600"}
        return FileResponse(desk.thumbnail(f"{thumbnails.PICTURES}/{request.path_params['path']}"), headers=headers)

    def output(request: Request) -> Response:
        # A manifest from elsewhere may name a page with scripts: it must not act as the desk.
        return FileResponse(desk.output(request.path_params["path"]), headers={"content-security-policy": "sandbox"})

    def changes(request: Request) -> Response:
        since = request.query_params.get("since", "0")
        return _json(desk.changes(int(since) if since.isdecimal() else 0))

    routes = [
        Route("/", page(desk.index, "text/html")),
        Route("/data.js", page(desk.data, "text/javascript")),
        Route("/changes", _answered(changes)),
        Route("/pictures/{path:path}", _answered(thumbnail)),
        Route("/outputs/{path:path}", _answered(output)),
        Route("/tile/{key}/{side}/{version:int}/{level:int}/{column:int}/{row:int}", _answered(tile)),
        *(
            Route(f"/{name}", _posted(getattr(desk, name)), methods=["POST"])
            for name in ("decide", "open", "swatches", "preview", "discard", "colour", "keep", "task")
        ),
        *(Route(f"/{name}", _answered(_file(report.ASSETS / name))) for name in SCRIPTS),
        Route("/img-comparison-slider/{path:path}", _answered(_files_below(report.ASSETS / "img-comparison-slider"))),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=desk.warm_up, name="archivecolor-warm-up", daemon=True).start()
        yield
        await run_in_threadpool(desk.close)

    return Guard(Starlette(routes=routes, lifespan=lifespan), token, hosts)


def _file(path: Path) -> Callable[[Request], Response]:
    """Serves one file."""
    return lambda request: FileResponse(path)


def _files_below(folder: Path) -> Callable[[Request], Response]:
    """Serves the files of one folder."""
    root = folder.resolve()

    def answer(request: Request) -> Response:
        path = (root / request.path_params["path"]).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return PlainTextResponse("no such file", 404)
        return FileResponse(path)

    return answer


def _answered(answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers in a thread; errors of ours become one line."""

    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(answer, request)
        except UsageError as error:
            return _json({"error": str(error)}, 400)
        except PictureError as error:
            return _json({"error": str(error)}, 404)
        except (ArchivecolorError, OSError, ValueError) as error:
            return _json({"error": str(error)}, 409)

    return endpoint


def _posted(call: Callable[[Body], Mapping[str, object]]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that takes and gives JSON."""

    async def endpoint(request: Request) -> Response:
        try:
            body = await request.json()
        except (ValueError, RecursionError, ClientDisconnect):
            return _json({"error": "the request is no JSON, or too large"}, 400)
        if not isinstance(body, dict):
            return _json({"error": "the request is no JSON object"}, 400)
        return await _answered(lambda _: _json(call(body)))(request)

    return endpoint


class _AsciiJson(JSONResponse):
    """Names that are not UTF-8 travel as escapes."""

    def render(self, content: object) -> bytes:
        return json.dumps(content, allow_nan=False).encode("ascii")


def _json(content: Mapping[str, object], status: int = 200) -> Response:
    return _AsciiJson(content, status)


def _key(row: Record, part: int) -> str:
    """Names a page or a frame and its output in addresses; another output is another picture."""
    return f"{row.source_sha256[:20]}{row.output_sha256[:20]}-{part}"


# --- the server ------------------------------------------------------------------------------------------------------


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address.

    Raises:
        UsageError: it is in use, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # a browser that comes before the server is up waits
    except OSError as error:
        listener.close()
        raise UsageError(f"--port {port}: cannot be used at {host} ({error.strerror}); choose another") from error
    return listener


def serve(desk: Desk, token: str, listener: socket.socket, host: str) -> None:
    """Answers requests until Ctrl-C or SIGTERM."""
    import uvicorn

    port = listener.getsockname()[1]
    names = {host, "127.0.0.1", "localhost"} if host in ("127.0.0.1", "localhost") else {host}
    hosts = tuple(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names)
    config = uvicorn.Config(application(desk, token, hosts), log_level="warning", access_log=False, lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])
