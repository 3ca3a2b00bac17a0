"""What a user names is found lazily and in order, and every item that is no use says why."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from burnish.deploy.batch import tables
from burnish.deploy.batch.inputs import items_of, of_stdin
from burnish.deploy.batch.items import Item
from burnish.deploy.batch.reading import CHUNK, read_ahead
from burnish.errors import ConfigError, DataError


def found(asked: str | Path, column: Any = None, *, images: bool) -> tuple[list[Item], list[str]]:
    notes: list[str] = []
    return list(items_of(str(asked), column, images, notes)), notes


def names(asked: str | Path, column: Any = None, *, images: bool = True) -> list[str]:
    return [item.name for item in found(asked, column, images=images)[0]]


def write(path: Path, content: str | bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_is_walked_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/10.png", "a.png", "b.png", "b/c/1.webp", ".hidden/1.png", ".x.png"):
        write(tmp_path / name)
    write(tmp_path / "notes.txt")
    write(tmp_path / "b" / "Thumbs.db")
    items, notes = found(tmp_path, images=True)
    expected = ["a.png", "b.png", "b/10.png", "b/2.JPG", "b/c/1.webp"]
    assert [item.name for item in items] == [str(tmp_path / name) for name in expected]
    assert [item.content for item in items] == [item.name for item in items]
    left = "2 files that do not end as pictures do: 1 .db, 1 .txt"
    assert notes == [f"{tmp_path}: left out {left}"]


def test_the_endings_of_what_is_left_out_are_counted(tmp_path: Path) -> None:
    for name in (
        "1.HEIC",
        "2.heic",
        "3.mov",
        "4",
        "5.aa",
        "6.bb",
        "7.cc",
        "8.mov",
        "a.avif",
        "b.jp2",
    ):
        write(tmp_path / name)
    items, notes = found(tmp_path, images=True)
    assert [Path(item.name).name for item in items] == ["a.avif", "b.jp2"]
    assert notes[0].endswith(
        "8 files that do not end as pictures do: 2 .heic, 2 .mov, 1 no ending, 1 .aa, 1 .bb, "
        "1 more endings"
    )


def test_links_in_a_circle_end_and_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "round.png").symlink_to("round.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")  # would be waited for
    expected = [tmp_path / "a" / "1.png", tmp_path / "gone.png", tmp_path / "round.png"]
    assert names(tmp_path) == list(map(str, expected))


def test_files_are_found_while_they_are_asked_for(tmp_path: Path, monkeypatch) -> None:
    for folder in range(5):
        write(tmp_path / str(folder) / "a.png")
    opened: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(path) or scandir(path))
    items = items_of(str(tmp_path), None, True, [])
    assert next(items).name == str(tmp_path / "0" / "a.png")
    assert opened == [str(tmp_path), str(tmp_path / "0")]


def test_names_may_hold_line_breaks_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    odd = [b"a\nb.png", b"\xff\xfe.png", "猫.png".encode()]
    for name in odd:
        write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)))
    assert sorted(os.fsencode(Path(name).name) for name in names(tmp_path)) == sorted(odd)


def test_nothing_to_predict_is_said_with_what_was_passed_over(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"nothing to predict in {tmp_path}$"):
        found(tmp_path, images=True)
    write(tmp_path / "a.doc")
    with pytest.raises(
        DataError, match=r"nothing to predict .* left out 1 file that does .*: 1 \.doc\)"
    ):
        found(tmp_path, images=True)


def test_globs_take_what_they_name_and_existing_names_come_first(tmp_path: Path) -> None:
    for name in ("b/x.dat", "a/x.dat", "a/y.png", "[a].png", "a.png"):
        write(tmp_path / name)
    assert names(tmp_path / "*" / "x.*") == [str(tmp_path / "a/x.dat"), str(tmp_path / "b/x.dat")]
    assert names(tmp_path / "**" / "*.png") == [
        str(tmp_path / name) for name in ("[a].png", "a.png", "a/y.png")
    ]
    assert names(tmp_path / "[a].png") == [str(tmp_path / "[a].png")]
    with pytest.raises(DataError, match="nothing to predict"):
        names(tmp_path / "*.gif")
    with pytest.raises(DataError, match="no such file or folder"):
        names(tmp_path / "a.gif")


# --- tables --------------------------------------------------------------------------------------

TEXTS = ["plain", 'with "quotes", commas', "two\nlines", "猫。好", " U+2028 \u2028 stays "]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".csv.gz", ".ndjson.gz"])
def test_columns_of_tables(tmp_path: Path, ending: str) -> None:
    file = io.StringIO()
    if "csv" in ending:
        rows = csv.writer(file)
        rows.writerows([["id", "review"], *enumerate(TEXTS)])
    else:
        file.writelines(json.dumps({"id": i, "review": t}) + "\n" for i, t in enumerate(TEXTS))
    content = ("\ufeff" + file.getvalue()).encode()
    path = write(tmp_path / f"t{ending}", gzip.compress(content) if "gz" in ending else content)
    items, _ = found(path, "review", images=False)
    assert [(item.name, item.error) for item in items] == [(t.strip(), None) for t in TEXTS]
    lines = [2, 3, 4, 6, 7] if "csv" in ending else [1, 2, 3, 4, 5]
    assert [item.line for item in items] == lines
    with pytest.raises(DataError, match=r"has no column 'revue', only id, review; .* 'review'\?"):
        found(path, "revue", images=False)
    with pytest.raises(DataError, match="has no column 'text', only id, review"):
        found(path, images=False)


def test_rows_are_the_same_whatever_the_size_of_a_block(tmp_path: Path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    # Some quotes are never closed, or closed in the middle of a field.
    pieces = ["a", '"', '""', ",", "\n", "\r\n", "b", '"c"', '"d,\n"']
    whole = [
        "text\n" + "".join(rng.choice(pieces, p=[0.3, 0.03, 0.1, 0.02, 0.25, 0.1, 0.1, 0.05, 0.05],
                                      size=200)) + "\n"
        for _ in range(30)
    ]  # fmt: skip
    for i, content in enumerate(whole):
        path = write(tmp_path / f"{i}.csv", content)
        at_once = list(tables.column_of(path, "text"))
        for size in (1, 2, 7):
            monkeypatch.setattr(tables, "BLOCK", size)
            assert list(tables.column_of(path, "text")) == at_once
        monkeypatch.undo()


def test_a_long_table_is_read_block_by_block(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "BLOCK", 10)
    path = write(tmp_path / "t.csv", "text\n" + "".join(f'"{i}\n"\n' for i in range(1000)))
    taken = 0
    plain = tables._lines

    def counted(path: Path) -> Any:
        nonlocal taken
        for line in plain(path):
            taken += 1
            yield line

    monkeypatch.setattr(tables, "_lines", counted)
    cells = tables.column_of(path, "text")
    assert next(cells) == tables.Cell(2, "0")
    assert taken <= 50
    assert [cell.text for cell in cells] == [str(i) for i in range(1, 1000)]


def test_rows_of_no_use_say_why(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", b'n,text\n1,ok\n2\n3,\n4,\xff\n5,"open\n6,\0\n')
    items, _ = found(path, "text", images=False)
    assert [(item.line, item.error) for item in items] == [
        (2, None),
        (3, "1 fields instead of 2"),
        (4, "empty"),
        (5, "not UTF-8 (byte 2 is 0xff)"),
        (6, "broken quotes (opened and never closed)"),
        (7, "not text: it holds a NUL byte"),
    ]
    path = write(tmp_path / "t.jsonl", '{"text": "a"}\n[]\n{"text": 3}\n{"other": 1}\n{\n')
    errors = [item.error for item in found(path, "text", images=False)[0]]
    assert errors[:4] == [
        None, "not a JSON object (list)", "'text' is not a string but int", "no key 'text'",
    ]  # fmt: skip
    assert errors[4] is not None
    assert errors[4].startswith("not JSON (")


def test_columns_by_position_have_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", "1\tgood\n0\tbad\n")
    assert names(path, 1, images=False) == ["good", "bad"]
    assert names(path, images=False) == ["1\tgood", "0\tbad"]  # without a column: its lines
    with pytest.raises(DataError, match="no column 2, only 0 to 1"):
        names(path, 2, images=False)
    path = write(tmp_path / "t.jsonl", "{}\n")
    with pytest.raises(DataError, match="keys, not positions"):
        names(path, 0, images=False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b"text\n", "nothing to predict"),
        ("t.csv", b"a,a\n1,2\n", "names 'a' twice"),
        ("t.csv", b"PK\x03\x04", "workbook or zip"),
        ("t.jsonl", b"", "nothing to predict"),
        ("t.txt", b"\xff\xfea\0", "UTF-16"),
        ("t.csv", "text\n好吃\n难吃\n很好吃\n".encode("gbk"), r"is not UTF-8 \(GBK or Latin-1"),
        ("t.txt", "é\nà\nok\nü\n".encode("latin-1"), "is not UTF-8 .* save it as UTF-8"),
        ("t.csv", b"label;text\n1;a\n", "parted by semicolons; part them by commas"),
        ("t.txt", b"\x89PNG\r\n\x1a\n\0", "t.txt: is a picture; a text file was expected"),
        ("t.json", b"[]", "is JSON; use .jsonl"),
        ("t.csv.gz", b"text\n", "cannot be read"),
        ("t.txt.gz", gzip.compress(b"text\n" * 9999)[:-20], "cannot be read"),
    ],
)
def test_files_of_no_use_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    column = "a" if b"a,a" in content else None
    with pytest.raises(DataError, match=message):
        found(write(tmp_path / name, content), column, images=False)


def test_file_names_in_tables_are_relative_to_them(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "image,label\na/b.png,cat\n/c.png,dog\n")
    items, _ = found(path, images=True)
    assert [(item.name, item.content) for item in items] == [
        ("a/b.png", str(tmp_path / "a/b.png")),
        ("/c.png", "/c.png"),
    ]
    path = write(tmp_path / "list.txt", "a/b.png\n\n")
    assert found(path, images=True)[0] == [Item("a/b.png", str(tmp_path / "a/b.png"), 1)]


def test_what_does_not_fit_the_net_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^column: goes with a table"):
        found(tmp_path, "image", images=True)
    with pytest.raises(ConfigError, match=r"^column: goes with a table .* not with input=-"):
        found("-", "image", images=True)
    with pytest.raises(DataError, match="is a folder, and this net classifies texts"):
        found(tmp_path, images=False)
    with pytest.raises(DataError, match=r"no such file: 早餐很好; .* text='...'"):
        found("早餐很好", images=False)


def test_one_of_many_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.png")
    table = write(tmp_path / "t.csv", "image\np.png\n")
    lined = write(tmp_path / "t.txt", "p.png\n")
    glob = tmp_path / "p*"
    piped = of_bytes(os.fsencode(tmp_path / "p.png"), images=True)
    for items in (*(found(asked, images=True)[0] for asked in (table, lined, glob)), piped):
        assert [(item.content, item.error) for item in items] == [(None, "not a regular file")]
    # Named alone it is what a shell makes of <(...).
    Thread(target=(tmp_path / "p.png").write_bytes, args=(b"picture",)).start()
    assert found(tmp_path / "p.png", images=True)[0][0].content == b"picture"


# --- standard input ------------------------------------------------------------------------------


def of_bytes(content: bytes, *, images: bool) -> list[Item]:
    return list(of_stdin(io.BufferedReader(io.BytesIO(content)), images))  # type: ignore[arg-type]


def test_texts_on_standard_input() -> None:
    given = "\ufeff很好\r\n\n bad\n".encode() + b"\xff\nlast"
    items = of_bytes(given, images=False)
    assert [(i.name, i.line, i.error) for i in items] == [
        ("很好", 1, None), ("bad", 3, None), ("\udcff", 4, "not UTF-8: byte 0 is 0xff"),
        ("last", 5, None),
    ]  # fmt: skip


def test_paths_on_standard_input() -> None:
    paths = [b"a b.png", b"BMW.png", b"P5.png", b"\xff.png"]
    expected = list(map(os.fsdecode, paths))
    for separator in (b"\n", b"\r\n", b"\0"):
        items = of_bytes(separator.join([*paths, b""]), images=True)
        assert [item.content for item in items] == expected
    (item,) = of_bytes(b"line\nbreak.png\0", images=True)
    assert item.name == "line\nbreak.png"
    many = [f"{i:06d}.png" for i in range(20_000)]  # more than one read
    assert [i.name for i in of_bytes("\0".join(many).encode(), images=True)] == many


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000"]
)
def test_a_picture_on_standard_input_is_itself_the_item(format: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (9, 7)).save(file, format)
    assert of_bytes(file.getvalue(), images=True) == [Item("-", file.getvalue())]


def test_standard_input_that_is_neither_is_refused() -> None:
    for content in (b"\0\0\1\0\1\0\x10\x10", b"\x7fELF\2\1\1\0", b"\0a.png\0"):
        with pytest.raises(DataError, match=r"^input: standard input is neither a list of paths"):
            of_bytes(content, images=True)
    with pytest.raises(DataError, match=r"^input: standard input is a picture; this net classif"):
        of_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0", images=False)
    (item,) = of_bytes(b"GIF89a is a format\n", images=False)
    assert item.content == "GIF89a is a format"


# --- reading ahead -------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_items_are_read_in_order_and_not_far_ahead(threads: int) -> None:
    asked = 0

    def items() -> Any:
        nonlocal asked
        for i in range(1000):
            asked += 1
            yield Item(str(i), i, error="bad" if i == 7 else None)

    def read(content: int) -> int:
        if content % 10 == 5:
            raise DataError(f"{content}: cannot be read")
        return content * 2

    found = read_ahead(items(), read, threads, ahead=64)
    first = next(found)
    assert (first.item.name, first.value) == ("0", 0)
    assert asked <= 64 + CHUNK * (threads + 2)
    rest = list(found)
    assert [int(item.name) for item, _ in rest] == list(range(1, 1000))
    for item, value in rest:
        number = int(item.name)
        error = "bad" if number == 7 else "cannot be read" if number % 10 == 5 else None
        assert (item.error, value) == (error, None if error else 2 * number)


def test_reading_ends_when_nobody_listens_and_lets_bugs_through() -> None:
    found = read_ahead((Item(str(i), i) for i in range(1000)), lambda content: content, 2, 16)
    next(found)
    found.close()  # would hang, if threads went on
    bug = read_ahead([Item("0", 0)], lambda content: 1 / content, 2, 16)
    with pytest.raises(ZeroDivisionError):
        next(bug)
