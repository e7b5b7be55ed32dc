"""Shards: shares of a run that know nothing of each other, and what joins them."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.doubles import colour, contents, register_ink, save_grey_tree
from support.needs import needs
from support.observers import Recorder, drive
from support.runs import options_of
from typer.testing import CliRunner

from archivecolor import cli, files
from archivecolor.errors import NoInputError, OutputError
from archivecolor.options import RunOptions, Shard
from archivecolor.pipeline.jobs import find_jobs
from archivecolor.preservation.bag import bag
from archivecolor.preservation.verify import verify
from archivecolor.provenance import (
    DONE,
    FAILED,
    LOCK,
    MANIFEST,
    Manifest,
    Record,
    manifest_of,
    merge,
    read_rows,
    unmerged,
)

NAMES = st.text(st.characters(codec=None), min_size=1, max_size=30)
FIRST, SECOND = Shard(1, 2), Shard(2, 2)


def options(src: Path, out: Path, ink: Path, shard: Shard | None = None, **more: Any) -> RunOptions:
    return options_of(src, out, ink, shard=shard, **more)


def shard_of_its_own(src: Path, out: Path, ink: Path, shard: Shard, killed_after: int | None = None) -> None:
    """For a process of its own, which kills itself when so many rows are there."""
    register_ink()
    seen = []

    def watch(name: str, row: Record | None, total: int) -> None:
        seen.append(name)
        if len(seen) == killed_after:
            os.kill(os.getpid(), 9)

    drive(options(src, out, ink, shard), Recorder(watch))


def in_processes(*values: tuple[Any, ...]) -> list[int]:
    """Runs `shard_of_its_own` for all of these at once; gives the exit codes."""
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=shard_of_its_own, args=arguments) for arguments in values]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    return [process.exitcode for process in running]


def plain(rows: dict[str, Record]) -> dict[str, Record]:
    return {name: replace(row, seconds={}) for name, row in rows.items()}


def pictures(out: Path) -> dict[str, bytes]:
    return contents(out, lambda path: path.name == MANIFEST)


def row(name: str, status: str = DONE, **more: Any) -> Record:
    return Record(name, f"/scans/{name}", name, status, **more)


# --- shares -----------------------------------------------------------------------------------------------------------


@given(st.sets(NAMES, max_size=40), st.integers(1, 12))
def test_shards_are_a_partition(names: set[str], count: int) -> None:
    for name in names:
        assert sum(Shard(i, count).has(name) for i in range(1, count + 1)) == 1


def test_a_name_has_the_same_share_for_ever() -> None:
    """Known answers: another hash would make a resumed array do its work again."""
    names = ("a.tif", "box/b.tif", "\udcff.tif", "0001.jpg", "é.png")
    assert [next(i for i in range(1, 9) if Shard(i, 8).has(name)) for name in names] == [5, 5, 5, 7, 4]


def test_shares_are_about_equal() -> None:
    held = sum(Shard(3, 8).has(f"box{i // 100}/{i:05}.tif") for i in range(8000))
    assert 850 < held < 1150


def test_names_and_collisions_are_settled_before_the_sharing(src: Path, out: Path, ink: Path) -> None:
    """`a.png` and `a.tif` both turned into JPEG: neither shard sees the other's file, both know of it."""
    for path in save_grey_tree(src, 6):
        path.with_suffix(".png").write_bytes(path.read_bytes())
    whole = find_jobs(options(src, out, ink, format="jpeg"))
    assert len({job.target for job in whole}) == len(whole) > 6
    for count in (2, 3):
        shared = [find_jobs(options(src, out, ink, Shard(i + 1, count), format="jpeg")) for i in range(count)]
        assert sorted((job for part in shared for job in part), key=whole.index) == whole
    first = {job.name: job for job in find_jobs(options(src, out, ink, FIRST))}
    save_grey_tree(src / "later", 5)
    assert first.items() <= {job.name: job for job in find_jobs(options(src, out, ink, FIRST))}.items()


def test_the_limit_is_that_of_all_shards_together(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 9)
    some = [find_jobs(options(src, out, ink, shard, limit=5)) for shard in (FIRST, SECOND)]
    assert sum(map(len, some)) == 5


def test_a_shard_without_a_picture_is_no_error(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 1)
    assert sorted(len(drive(options(src, out, ink, shard))) for shard in (FIRST, SECOND)) == [0, 1]
    assert merge(out) == (2, 1)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_two_at_once_one_of_them_killed_and_resumed_then_merged_are_one_run(
    src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    save_grey_tree(src, 16)
    (src / "broken.png").write_bytes(b"\x89PNG no more")
    alone = plain({row.input: row for row in colour(src, out=tmp_path / "alone", model=ink)})
    assert in_processes((src, out, ink, FIRST), (src, out, ink, SECOND, 4)) == [0, -9]
    assert [path.name for path in unmerged(out)] == [manifest_of(FIRST), manifest_of(SECOND)]
    first = (out / manifest_of(FIRST)).read_bytes()
    watched: dict[str, Any] = {}
    drive(options(src, out, ink, SECOND), Recorder(lambda name, row, total: watched.update({name: row})))
    assert len(watched) > sum(row is None for row in watched.values()) >= 4, "what was finished is not done again"
    assert (out / manifest_of(FIRST)).read_bytes() == first
    assert merge(out) == (2, 17)
    assert plain(read_rows(out)) == alone
    assert pictures(out) == pictures(tmp_path / "alone")
    assert not unmerged(out)
    assert verify(out).sound


def test_an_unsharded_run_merges_first_and_does_nothing_again(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 10)
    done = {row.input: row for row in drive(options(src, out, ink, SECOND))}
    assert 0 < len(done) < 10
    watched: dict[str, Any] = {}
    rows = drive(options(src, out, ink), Recorder(lambda name, row, total: watched.update({name: row})))
    assert {name for name, row in watched.items() if row is None} == done.keys()
    assert {row.input: row for row in rows}.items() >= done.items()
    assert not unmerged(out)


def test_a_shard_knows_what_was_merged_before(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 6)
    drive(options(src, out, ink))
    watched = []
    drive(options(src, out, ink, SECOND), Recorder(lambda name, row, total: watched.append(row)))
    assert watched and set(watched) == {None}
    assert (out / manifest_of(SECOND)).read_bytes() == b"", "its own manifest holds its own rows alone"


def test_a_rehearsal_knows_what_shards_have_done(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 6)
    done = drive(options(src, out, ink, SECOND))
    result = CliRunner().invoke(
        cli.app,
        ["run", str(src), "--out", str(out), "--model", str(ink), "--size", "64", "--precision", "fp32",
         "--no-sidecar", "--dry-run", "--json"],
    )  # fmt: skip
    assert result.stdout.count("leave as it is (done)") == len(done)
    assert result.stdout.count("colour (new)") == 6 - len(done)
    assert unmerged(out), "a rehearsal writes nothing"


# --- the manifests ----------------------------------------------------------------------------------------------------


def test_the_part_files_of_another_shard_are_left_alone(out: Path) -> None:
    with Manifest(out, True, SECOND) as second:
        second.begin("b.png", "/scans/b.png", out / "b.png")
        alive = files.part_path(out / "b.png")
        alive.write_bytes(b"half of it")
        with Manifest(out, True, FIRST) as first:
            first.append(row("a.png"))
        assert alive.exists()
        assert (out / LOCK).exists()
        with pytest.raises(OutputError, match="another run"):
            merge(out)
        with pytest.raises(OutputError, match="another run"), Manifest(out, False, SECOND):
            pass
        assert alive.exists()
        begun = (out / manifest_of(SECOND)).read_bytes()
    (out / manifest_of(SECOND)).write_bytes(begun)  # as a kill would have left it
    with Manifest(out, True, SECOND) as second:
        assert not alive.exists(), "its own it removes"
        assert second.rows["b.png"].output == "b.png"
    merge(out)
    assert not [path for path in out.iterdir() if path.name != MANIFEST]


def test_a_run_keeps_shards_out(out: Path) -> None:
    with Manifest(out), pytest.raises(OutputError, match="another run"):
        Manifest(out, False, FIRST)
    with Manifest(out, False, FIRST):
        pass


def test_shards_of_another_count_wait_for_the_merge(out: Path) -> None:
    with Manifest(out, False, Shard(1, 3)) as manifest:
        manifest.append(row("a.png"))
    with pytest.raises(OutputError, match="archivecolor manifest merge"):
        Manifest(out, False, FIRST)
    merge(out)
    with Manifest(out, False, FIRST) as manifest:
        assert manifest.rows["a.png"] == row("a.png")


def test_the_newest_row_wins_and_knows_earlier_outputs(out: Path) -> None:
    with Manifest(out) as manifest:
        manifest.append(row("a.png"))
        manifest.append(row("b.png", reason="old"))
    with Manifest(out, False, FIRST) as manifest:
        manifest.append(replace(row("a.png"), output="a_color.png"))
        manifest.begin("c.png", "/scans/c.png", out / "c.png")
    with Manifest(out, False, SECOND) as manifest:
        manifest.append(row("b.png", reason="new"))
    assert merge(out) == (2, 3)
    rows = read_rows(out)
    assert (rows["a.png"].output, rows["a.png"].earlier) == ("a_color.png", ("a.png",))
    assert rows["b.png"].reason == "new"
    assert rows["c.png"].status == FAILED
    assert merge(out) == (0, 3)


def test_a_merge_is_whole_or_not_at_all(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Manifest(out) as manifest:
        manifest.append(row("a.png"))
    with Manifest(out, False, FIRST) as manifest:
        manifest.append(row("b.png"))
    before = contents(out)

    def full(*values: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space left"):
        patch.setattr("archivecolor.provenance.shards.finished", full)
        merge(out)
    assert contents(out) == before
    with (
        monkeypatch.context() as patch,
        pytest.raises(OutputError),
    ):  # the manifest is whole, the shards are still there
        patch.setattr("archivecolor.provenance.shards._remove", full)
        merge(out)
    assert unmerged(out)
    merge(out)
    assert read_rows(out) == {"a.png": row("a.png"), "b.png": row("b.png")}


@needs("bagit")
def test_other_verbs_name_the_command(out: Path, tmp_path: Path) -> None:
    with Manifest(out, False, FIRST) as manifest:
        manifest.append(row("a.png"))
    for verb in (lambda: verify(out), lambda: bag(out, tmp_path / "bag"), lambda: read_rows(out)):
        with pytest.raises(NoInputError, match=f"archivecolor manifest merge {out}"):
            verb()
    result = CliRunner().invoke(cli.app, ["manifest", "merge", str(out)])
    assert result.stdout == f"{out / MANIFEST}: 1 rows, 1 shards merged\n"
    assert read_rows(out).keys() == {"a.png"}
    with pytest.raises(NoInputError, match="no manifest of a shard"):
        merge(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
