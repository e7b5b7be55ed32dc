"""`archivecolor run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import catch_interrupts
from archivecolor.options import DEFAULT_MODEL, SOURCE_TYPES


def run(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders, patterns (*.tif, frame_%06d.dpx), @list.txt, or - for a list on stdin.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the coloured tree and its manifest.jsonl.")],
    model: Annotated[str, typer.Option(help="Weights: lite, resnet18, or a folder.")] = DEFAULT_MODEL,
    size: Annotated[int, typer.Option(help="The network sees about SIZE x SIZE pixels.")] = 256,
    strength: Annotated[float, typer.Option(help="Multiplies the chroma, 0 to 2.")] = 1.0,
    tiles: Annotated[
        str, typer.Option(help="auto (panoramas and rich detail in overlapping tiles), always or never.")
    ] = "auto",
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:n; several with commas: a process for each.")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(help="torch, or openvino: faster on some CPUs (see bench), an extra.")
    ] = "torch",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    batch: Annotated[
        int,
        typer.Option(help="Pictures that go through the network together on a GPU, at most; 0: found by its memory."),
    ] = 0,
    workers: Annotated[int, typer.Option(help="Threads that read, spread and write; 0: cores + 1.")] = 0,
    format: Annotated[str, typer.Option(help="same, jpeg, png, tiff or webp.")] = "same",
    quality: Annotated[int, typer.Option(help="Of JPEG and WebP, 1 to 100.")] = 95,
    suffix: Annotated[str, typer.Option(help="Added to the stem of every output, for example _color.")] = "",
    recolor: Annotated[bool, typer.Option("--recolor", help="Colour also what is in colour already.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do everything again, and replace files this program did not make.")
    ] = False,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Only the I-th of N shares, beside the others; then manifest merge.")
    ] = "",
    on: Annotated[str, typer.Option(help="local (this machine), or ray (a cluster).")] = "local",
    address: Annotated[str, typer.Option(help="Of the Ray cluster, or auto; none: one is started here.")] = "",
    limit: Annotated[int | None, typer.Option(help="Only the first N pictures.")] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse larger pictures before decoding them.")] = 500,
    digital_source_type: Annotated[
        str, typer.Option(help="IPTC's term for the outputs, for example algorithmicallyEnhanced.")
    ] = SOURCE_TYPES[0],
    mark: Annotated[
        str, typer.Option(metavar="TEXT", help="Burn a small line of text into a corner; auto for the usual words.")
    ] = "",
    mark_font: Annotated[Path | None, typer.Option(help="A font file for --mark, for letters beyond English.")] = None,
    sidecar: Annotated[
        bool, typer.Option("--sidecar/--no-sidecar", help="A NAME.json beside each output, with all to make it again.")
    ] = True,
    c2pa: Annotated[
        str, typer.Option(metavar="CERT,KEY", help="Sign content credentials with these two PEM files.")
    ] = "",
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Look at the mirror image too and average: steadier, twice the network's time."),
    ] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence", help="Note how sure each picture's colours are, for the review; the network looks twice."
        ),
    ] = False,
    palette: Annotated[
        Path | None, typer.Option(help="A colour photograph towards whose colours the pictures are moved.")
    ] = None,
    palette_strength: Annotated[float, typer.Option(help="How far they are moved, 0 to 1.")] = 0.7,
    hint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,#RRGGBB",
            help="Pin a colour, which spreads up to the edges around it; pixels of one upright picture; repeatable.",
        ),
    ] = None,
    redo: Annotated[
        Path | None, typer.Option(help="decisions.json of a review: do again, and only, what it rejects.")
    ] = None,
    strips_above: Annotated[
        float, typer.Option(help="Megapixels above which a TIFF is coloured strip by strip, not held in memory.")
    ] = 100,
    codec: Annotated[
        str,
        typer.Option(
            help="Of films: auto, h264, h265, av1, prores; dpx, tiff or png for a file of each frame; gif. "
            "auto: numbered files come out as such, others as h264."
        ),
    ] = "auto",
    master: Annotated[
        bool, typer.Option("--master", help="Films as FFV1 with full chroma in Matroska; the luma bit for bit.")
    ] = False,
    steady: Annotated[float, typer.Option(help="How steady a film's colours are over time, 0 to 1.")] = 1.0,
    every: Annotated[
        str,
        typer.Option(help="Films: the network sees every N-th frame; auto: as few as the error allows."),
    ] = "auto",
    cuts: Annotated[Path | None, typer.Option(help="Text file with the first frames of a film's shots.")] = None,
    on_bad_frame: Annotated[
        str, typer.Option(help="In place of a frame that cannot be decoded: repeat the last, or grey.")
    ] = "repeat",
    fps: Annotated[
        str, typer.Option(help="Frames a second of numbered files (frame_%06d.dpx), where they do not say it.")
    ] = "",
    sequences: Annotated[
        bool, typer.Option("--sequences", help="Numbered pictures in folders are frames of films; DPX always are.")
    ] = False,
    dpx_curve: Annotated[
        str, typer.Option(help="What DPX codes stand for: log (printing density), linear or video; auto: as they say.")
    ] = "auto",
    deinterlace: Annotated[
        bool, typer.Option("--deinterlace", help="Make interlaced films progressive; otherwise they stay as they are.")
    ] = False,
    title_card: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Five seconds before a film that say its colour is invented; auto for words."
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per picture on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="A line for every picture; -vv: details and tracebacks.")
    ] = 0,
    log_file: Annotated[
        Path | None, typer.Option(help="Append every message, and the traceback of every error, to this file.")
    ] = None,
) -> None:
    """Colour photographs and films; the tree of INPUT is mirrored under OUT. Run it again to go on where it stopped.

    Exit codes: 0 all done, 1 fatal, 2 wrong usage, 3 some pictures failed, 4 no input, 5 output not writable,
    6 weights, 7 a package is missing, 130 interrupted.

    Example: archivecolor run ./old_photos --out ./color
    """
    from archivecolor.cli import progress
    from archivecolor.execution import multi_device
    from archivecolor.options import ColorOptions, Disclosure, FilmOptions, RunOptions, parse_hint, parse_shard

    reference = None
    if palette:  # reading a picture takes torch, which otherwise only the working process imports
        from archivecolor.pipeline.reference_palette import read_palette

        reference = read_palette(palette, palette_strength)
    color = ColorOptions(size, strength, tiles, reference, tuple(map(parse_hint, hint or ())), mirror)
    options = RunOptions(
        inputs=tuple(inputs), out=out, model=model, color=color, device=device,
        precision=precision, batch=batch, workers=workers, format=format, quality=quality, suffix=suffix,
        recolor=recolor, overwrite=overwrite, limit=limit, max_megapixels=max_megapixels,
        disclosure=Disclosure(digital_source_type, mark, mark_font, sidecar, c2pa),
        strips_above=strips_above, engine=engine, redo=redo, confidence=confidence,
        shard=parse_shard(shard),
        on=on, address=address,
        film=FilmOptions(
            codec, master, steady, every, cuts, on_bad_frame, fps, sequences, dpx_curve, deinterlace, title_card
        ),
    )  # fmt: skip
    if dry_run:
        from archivecolor.pipeline import dry_run as planning

        raise SystemExit(planning.print_dry_run(options, as_json))
    drive: progress.Drive = multi_device.drive
    if on == "ray":
        from archivecolor.execution import ray

        drive = ray.drive
    raise SystemExit(progress.show(options, as_json, quiet, verbose, catch_interrupts(), drive, log_file))
