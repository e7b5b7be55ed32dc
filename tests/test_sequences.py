"""Names of numbered files: gathered, named again by their pattern, hashed as one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archivecolor import files, sequences


def test_a_pattern_stands_for_its_files_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("a_08.png", "a_09.png", "a_10.png", "a_100.png", "a_010.png", "a_1.png", "a_x.png", "b_08.png"):
        (tmp_path / name).write_bytes(name.encode())
    paths = sequences.frame_paths_by_number(tmp_path / "a_%02d.png")
    assert {n: p.name for n, p in paths.items()} == {8: "a_08.png", 9: "a_09.png", 10: "a_10.png", 100: "a_100.png"}
    assert list(paths) == [8, 9, 10, 100]
    assert [p.name for p in sequences.frame_paths(tmp_path / "a_%d.png")] == ["a_1.png", "a_10.png", "a_100.png"]
    assert sequences.missing_ranges(paths) == [(11, 99)]
    assert sequences.name_with_range(tmp_path / "a_%02d.png", paths) == "a_08-100.png"
    (tmp_path / "a_%02d.png").write_bytes(b"a file of that very name")
    assert sequences.frame_paths(tmp_path / "a_%02d.png") == [tmp_path / "a_%02d.png"]


@given(st.sets(st.integers(0, 10**7), min_size=1, max_size=20), st.integers(1, 9), st.sampled_from(["", "r2_f.", "x"]))
def test_names_gathered_by_their_number_are_named_again_by_their_pattern(
    numbers: set[int], width: int, before: str
) -> None:
    names = [f"{before}{n:0{width}d}.tif" for n in sorted(numbers)]
    ((pattern, gathered),) = sequences.find_patterns(names).items()
    assert sorted(gathered) == sorted(names)
    assert {sequences.frame_name(Path(pattern), n) for n in numbers} == set(names)


def test_numbers_that_do_not_agree_and_names_without_one_stay_single() -> None:
    assert sequences.find_patterns(["a1.tif", "a01.tif", "b.tif", "100%d.tif"]) == {
        name: [name] for name in ("a1.tif", "a01.tif", "b.tif", "100%d.tif")
    }


def test_the_hash_of_a_sequence_is_that_of_the_list_of_sha256sum(tmp_path: Path) -> None:
    listed = b""
    for n in (3, 1, 2):
        (tmp_path / f"f_{n}.dpx").write_bytes(bytes([n]) * 9)
    for n in (1, 2, 3):
        listed += f"{hashlib.sha256(bytes([n]) * 9).hexdigest()}  f_{n}.dpx\n".encode()
    pattern = tmp_path / "f_%d.dpx"
    assert files.sha256(pattern) == hashlib.sha256(listed).hexdigest()
    seen = files.SourceSnapshot.of(pattern)
    assert seen.still()
    (tmp_path / "f_4.dpx").write_bytes(b"4")
    assert not seen.still()
    with pytest.raises(FileNotFoundError):
        files.sha256(tmp_path / "g_%d.dpx")
