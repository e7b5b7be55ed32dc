"""How fast films are coloured on this machine, and whether memory stays flat; not part of the test run.

    python tests/support/film_speed.py clip.mp4 --frames 480
    python tests/support/film_speed.py clip.mp4 --memory-minutes 10

The first colours the clip's first frames with each model, for `--every 1` and `--every auto` in turn, and prints frames
a second from the first look to the finished file, weights already loaded, and the processor's time, which says as much
on a machine that is busy with something else. The second colours the clip, repeated until
it lasts so many minutes, and prints the process's memory at every tenth of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from archivecolor.bench.memory import now_megabytes
from archivecolor.bench.stages import check
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorizerOptions, ColorOptions, Disclosure, FilmOptions, RunOptions
from archivecolor.pipeline.inputs import Job, SourceKind
from archivecolor.pipeline.observer import FilmProgress, RunObserver
from archivecolor.pipeline.runner import work
from archivecolor.provenance import Manifest, Record

_LINE = "{:10} {:8} {:>9} {:>12} {:>14} {:>6} {:>15}"


def repeated(clip: Path, target: Path, frames: int) -> tuple[int, Fraction]:
    """The clip's pictures, again and again, as a film of so many frames, packet by packet; its rate."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        packets = [p for p in source.demux(stream) if p.size]
        rate = Fraction(stream.average_rate or 25)
        step = round(1 / (rate * stream.time_base))
        twin = out.add_stream_from_template(stream)
        for i in range(frames):
            turn, packet = divmod(i, len(packets))
            copy = av.Packet(bytes(packets[packet]))
            copy.stream, copy.time_base = twin, stream.time_base
            copy.pts = packets[packet].pts + turn * len(packets) * step
            copy.dts = packets[packet].dts + turn * len(packets) * step
            copy.is_keyframe = packets[packet].is_keyframe
            out.mux(copy)
    return frames, rate


def colour(
    film: Path, out: Path, colorizer: Colorizer, options: FilmOptions, observer: RunObserver
) -> tuple[float, float, Record]:
    """Seconds, seconds of all processor cores together, and the row."""
    run_options = RunOptions(
        inputs=(str(film),), out=out, film=options, recolor=True, disclosure=Disclosure(sidecar=False)
    )
    with Manifest(out) as manifest:
        started, busy = time.perf_counter(), time.process_time()
        job = Job(film, film.name, out / film.name, SourceKind.FILM)
        ((_, row),) = work([job], colorizer, replace(run_options, out=out), manifest, observer)
        check(row)
        assert isinstance(row, Record)
        return time.perf_counter() - started, time.process_time() - busy, row


def speeds(clip: Path, frames: int, models: list[str]) -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as name:
        film = Path(name) / f"clip{clip.suffix}"
        count, rate = repeated(clip, film, frames)
        rows = []
        for model in models:
            with Colorizer(model) as colorizer:
                colour(film, Path(name) / f"warm-{model}", colorizer, FilmOptions(every="24"), RunObserver())
                for every in ("1", "auto"):
                    seconds, busy, row = colour(
                        film, Path(name) / f"{model}-{every}", colorizer, FilmOptions(every=every), RunObserver()
                    )
                    rows.append((model, every, row, seconds, busy))
    print(f"{rows[0][2].width} x {rows[0][2].height}, {count} frames at {float(rate):g} a second")
    heads = ("model", "--every", "frames/s", "x real time", "core ms/frame", "seen", "error of reuse")
    print(_LINE.format(*heads))
    for model, every, row, seconds, busy in rows:
        error, fps = row.film["reuse_error"], count / seconds
        shown = "–" if error is None else f"{error:.2f}"
        timed = f"{fps:.2f}", f"{fps / float(rate):.2f}", f"{1e3 * busy / count:.1f}"
        print(_LINE.format(model, every, *timed, row.film["seen"], shown))


def memory(clip: Path, minutes: float, model: str, size: int) -> None:
    """Prints megabytes at every tenth of the film."""
    with tempfile.TemporaryDirectory() as name:
        film = Path(name) / f"clip{clip.suffix}"
        with av.open(str(clip)) as source:
            rate = Fraction(source.streams.video[0].average_rate or 25)
        count, _ = repeated(clip, film, round(60 * minutes * rate))
        tenths = iter(range(1, 11))
        following = next(tenths)

        class PrintingObserver(RunObserver):
            def film_progress(self, name: str, progress: FilmProgress) -> None:
                nonlocal following
                if progress.stage == "colouring" and progress.done_frames >= following * count / 10:
                    film, frames = f"{progress.seconds / 60:6.2f} min", f"{progress.done_frames:7} frames"
                    print(f"{film} {frames} {now_megabytes():8.0f} MB", flush=True)
                    following = next(tenths, 11)

        with Colorizer(model, ColorizerOptions(color=ColorOptions(size=size))) as colorizer:
            seconds, _, _ = colour(film, Path(name) / "out", colorizer, FilmOptions(), PrintingObserver())
            print(f"{count} frames in {seconds:.0f} s, at the end {now_megabytes():.0f} MB")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--model", action="append")
    parser.add_argument("--memory-minutes", type=float, default=0)
    parser.add_argument("--size", type=int, default=256, help="of the memory run: a small one is quick")
    arguments = parser.parse_args()
    models = arguments.model or ["lite", "resnet18"]
    if arguments.memory_minutes:
        memory(arguments.clip, arguments.memory_minutes, models[0], arguments.size)
    else:
        speeds(arguments.clip, arguments.frames, models)


if __name__ == "__main__":
    main()
