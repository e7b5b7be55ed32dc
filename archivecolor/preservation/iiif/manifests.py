"""The manifests of an IIIF site: Presentation API 3 (iiif.io/api/presentation/3.0), one for each folder.

A canvas offers a Choice. The original comes first, because a viewer that knows no Choice, an aggregator and a search
engine take the first: what circulates without its label must be the photograph, not the invented colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from archivecolor.preservation.catalogue import Entry
from archivecolor.preservation.iiif.tiles import FULL_MAX, Size, TiledImage, address

COLLECTION, MANIFEST = "collection.json", "manifest.json"
_CONTEXT = "http://iiif.io/api/presentation/3/context.json"
_RIGHTS = re.compile(r"http://(creativecommons\.org/(licenses|publicdomain)|rightsstatements\.org/vocab)/\S+")
"""The only addresses that the property `rights` may have."""

Json = dict[str, object]


@dataclass(frozen=True)
class PagePair:
    """A page of a picture, in both forms."""

    number: int
    """From 1."""
    coloured: TiledImage
    original: TiledImage | None
    """None if the source is gone."""

    @property
    def images(self) -> list[TiledImage]:
        return [image for image in (self.original, self.coloured) if image]


@dataclass(frozen=True)
class Published:
    """A picture with all its pages."""

    entry: Entry
    pages: tuple[PagePair, ...]

    @property
    def folder(self) -> str:
        """Of the picture below the input folder; "" for the input folder itself."""
        return folder_of(self.entry.row.input)

    @property
    def maker(self) -> str:
        """What invented the colours."""
        return f"{self.entry.software}, weights {self.entry.row.model} (SHA-256 {self.entry.row.weights_sha256})"

    @property
    def short_maker(self) -> str:
        """The same for a menu of few words."""
        return f"{self.entry.software}, weights {self.entry.row.model} {self.entry.row.weights_sha256[:12]}"


def folder_of(name: str) -> str:
    folder = str(PurePosixPath(name).parent)
    return "" if folder == "." else folder


def manifest_path(folder: str) -> str:
    """Where the manifest of a folder of pictures is, below the site."""
    return f"{folder}/{MANIFEST}" if folder else MANIFEST


def manifest(folder: str, pictures: Iterable[Published], base: str, title: str) -> Json:
    """The manifest of one folder.

    Args:
        title: the name of the whole collection.
    """
    listed = list(pictures)
    canvases = [_canvas(one, page, base) for one in listed for page in one.pages]
    return {
        "@context": _CONTEXT,
        "id": address(base, manifest_path(folder)),
        "type": "Manifest",
        "label": _plain(folder or title),
        "summary": _english(_summary(one.maker for one in listed)),
        "requiredStatement": _required(_summary(one.maker for one in listed)),
        "partOf": [{"id": address(base, COLLECTION), "type": "Collection"}],
        "behavior": ["individuals"],
        "thumbnail": [_thumbnail(listed[0].pages[0].images[0], base)],
        "items": canvases,
    }


def collection(manifests: Iterable[Json], makers: Iterable[str], base: str, title: str) -> Json:
    """The collection above all manifests."""
    kept = ("id", "type", "label", "thumbnail")
    statement = _summary(makers)
    return {
        "@context": _CONTEXT,
        "id": address(base, COLLECTION),
        "type": "Collection",
        "label": _plain(title),
        "summary": _english(statement),
        "requiredStatement": _required(statement),
        "items": [{key: one[key] for key in kept} for one in manifests],
    }


def _summary(makers: Iterable[str]) -> str:
    names = "; ".join(dict.fromkeys(makers))
    return f"The colours were invented by a neural network: {names}. The originals have no such colours."


def _canvas(picture: Published, page: PagePair, base: str) -> Json:
    number = f"/{page.number}" if len(picture.pages) > 1 else ""
    identifier = address(base, f"{picture.entry.row.input}/canvas{number}")
    bodies = [_body(picture, image, image is page.coloured, base) for image in page.images]
    painting: Json = {"type": "Choice", "items": bodies} if len(bodies) > 1 else bodies[0]
    annotation = {
        "id": f"{identifier}/painting",
        "type": "Annotation",
        "motivation": "painting",
        "target": identifier,
        "body": painting,
    }
    title = picture.entry.title + (f", page {page.number}" if number else "")
    size = page.images[0].size
    return {
        "id": identifier,
        "type": "Canvas",
        "label": _plain(title if page.original else f"{title} (the colour is invented)"),
        **_size(size),
        "metadata": _metadata(picture, page),
        **({"requiredStatement": _required(_summary([picture.maker]))} if page.coloured.is_coloured else {}),
        **({"rights": picture.entry.words.rights} if _RIGHTS.fullmatch(picture.entry.words.rights) else {}),
        "thumbnail": [_thumbnail(page.images[0], base)],
        "items": [{"id": f"{identifier}/page", "type": "AnnotationPage", "items": [annotation]}],
    }


def _body(picture: Published, image: TiledImage, from_output: bool, base: str) -> Json:
    if not from_output:
        label = "Original"
    elif image.is_coloured:
        label = f"Coloured, the colour is invented: {picture.short_maker}"
    else:
        label = "Not coloured, because it was in colour"
    return {
        "id": address(base, f"{image.path}/{FULL_MAX}"),
        "type": "Image",
        "format": "image/jpeg",
        **_size(image.largest),
        "label": _english(label),
        "service": [_service(image, base)],
    }


def _thumbnail(image: TiledImage, base: str) -> Json:
    """Names one file and no service: of a service, the Universal Viewer requests a width that level 0 does not have."""
    width, height = image.small
    return {
        "id": address(base, f"{image.path}/full/{width},{height}/0/default.jpg"),
        "type": "Image",
        "format": "image/jpeg",
        **_size(image.small),
    }


def _service(image: TiledImage, base: str) -> Json:
    return {"id": address(base, image.path), "type": "ImageService3", "profile": "level0"}


def _size(size: Size) -> Json:
    return {"width": size[0], "height": size[1]}


def _metadata(picture: Published, page: PagePair) -> list[Json]:
    entry, row = picture.entry, picture.entry.row
    guided = f" A person guided it: {'; '.join(row.guidance)}." if row.guidance else ""
    colour = f"Invented by a neural network; the luminance is the original's.{guided}"
    pairs = {
        "Colour": colour if page.coloured.is_coloured else "This page was in colour and was left as it was.",
        "Software": entry.software,
        "Weights": f"{row.model}, SHA-256 {row.weights_sha256}",
        "Original": f"{row.input}, SHA-256 {row.source_sha256}",
        "Coloured": f"{row.output}, SHA-256 {row.output_sha256}",
        "Coloured on": entry.finished,
        "Identifier": entry.identifier if entry.identifier != entry.title else "",
        "Rights": entry.words.rights,
    }
    if page.original is None:
        pairs["Original"] += " (not at hand when this was published)"
    return [{"label": _english(label), "value": _plain(value)} for label, value in pairs.items() if value]


def _required(statement: str) -> Json:
    return {"label": _english("Colour"), "value": _english(statement)}


def _english(text: str) -> Json:
    return {"en": [_literal(text)]}


def _plain(text: str) -> Json:
    """A text of no known language."""
    return {"none": [_literal(text)]}


def _literal(text: str) -> str:
    """The text in a form that viewers show as it is. They take a value from `<` to `>` for HTML, unless white space
    follows it (Presentation API 3.0, 4.5). Bytes of a name that are not UTF-8 become escapes."""
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"{shown} " if shown.startswith("<") and shown.endswith(">") else shown
