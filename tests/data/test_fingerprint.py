"""Fingerprints say what is in files, and read each of them once."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from burnish.data import digest_cache, fingerprint

LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "burnish" / digest_cache.FILE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    for name in ("a.txt", "b/a.txt", "b/c.txt"):
        rewrite(root / name, name)
    return root


def rewrite(path: Path, content: str, time: float = LONG_AGO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time, time))


def of(root: Path, **arguments: bool) -> str:
    return fingerprint.of_files(root, [p for p in root.rglob("*") if p.is_file()], **arguments)


def test_digests_are_blake2b_of_the_contents(root: Path) -> None:
    paths = [root / "a.txt", root / "b/a.txt", root / "a.txt"]
    expected = [hashlib.blake2b(p.read_bytes(), digest_size=16).hexdigest() for p in paths]
    assert digest_cache.digests(paths) == expected
    assert digest_cache.digests(paths) == expected
    assert digest_cache.digests([]) == []


def test_a_copy_has_the_same_fingerprint_and_other_contents_another(root: Path) -> None:
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    for file in copy.rglob("*.txt"):
        os.utime(file, (LONG_AGO + 9, LONG_AGO + 9))
    assert of(copy) == of(root)
    assert of(copy, with_times=True) != of(root, with_times=True)
    rewrite(copy / "a.txt", "A.txt")
    assert of(copy) != of(root)


def test_names_count_but_neither_order_nor_spelling(root: Path, monkeypatch) -> None:
    paths = [root / "a.txt", root / "b/a.txt"]
    before = fingerprint.of_files(root, paths)
    assert fingerprint.of_files(root, paths[::-1]) == before
    monkeypatch.chdir(root.parent)
    assert fingerprint.of_files(Path("files"), paths) == before
    assert fingerprint.of_files(root, [Path("files/./a.txt"), Path("files/b/a.txt")]) == before
    assert fingerprint.of_files(root / "b", paths) != before
    (root / "a.txt").rename(root / "z.txt")
    assert fingerprint.of_files(root, [root / "z.txt", root / "b/a.txt"]) != before


def test_tables_count_by_what_they_are_for(root: Path) -> None:
    images, table, other = [root / "a.txt"], root / "b/a.txt", root / "b/c.txt"
    first = fingerprint.of_files(root, images, tables={"train": table})
    assert first != fingerprint.of_files(root, images, tables={"val": table})
    assert first != fingerprint.of_files(root, images, tables={"train": other})
    assert first == fingerprint.of_files(root, images, tables={"train": table.rename(other)})


def test_an_unchanged_file_is_not_read_again(root: Path) -> None:
    before = of(root)
    rewrite(root / "a.txt", "A.txt")  # other content, the same size and time
    assert of(root) == before
    rewrite(root / "a.txt", "A.txt", LONG_AGO + 1)
    changed = of(root)
    assert changed != before
    rewrite(root / "a.txt", "a.txt and more", LONG_AGO + 1)
    assert of(root) not in (before, changed)


def test_a_file_that_may_still_change_within_the_clocks_tick_is_read_again(root: Path) -> None:
    (root / "a.txt").write_text("a.txt")
    stat = (root / "a.txt").stat()
    before = of(root)
    (root / "a.txt").write_text("A.txt")
    os.utime(root / "a.txt", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert of(root) != before


@pytest.mark.parametrize("damage", ["garbage", "folder", "table", "unwritable"])
def test_a_damaged_cache_only_costs_time(root: Path, cache: Path, damage: str) -> None:
    expected = of(root)
    assert cache.exists()
    cache.unlink()
    if damage == "garbage":
        cache.write_bytes(b"no database" * 100)
    elif damage == "folder":
        cache.mkdir()
    elif damage == "table":
        import sqlite3

        with sqlite3.connect(cache) as connection:
            connection.execute("CREATE TABLE digests (other TEXT)")
        connection.close()
    else:
        shutil.rmtree(cache.parent)
        cache.parent.write_text("")  # a file where the folder should be
    assert of(root) == expected
    if damage == "garbage":
        of(root)
        rewrite(root / "a.txt", "A.txt")
        assert of(root) == expected  # it was thrown away and begun anew


def test_one_cache_serves_several_data_sets(root: Path, tmp_path: Path) -> None:
    before = of(root)
    rewrite(tmp_path / "others" / "a.txt", "other")
    of(tmp_path / "others")
    rewrite(root / "a.txt", "A.txt")
    assert of(root) == before
