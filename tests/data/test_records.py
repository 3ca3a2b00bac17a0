"""Tables in all their forms, and what is said of the broken ones."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.data.classes import class_indices, sorted_classes
from burnish.data.records import read_table
from burnish.errors import BurnishError, ConfigError, DataError

COLUMNS = {"text": "review", "label": "label"}
GOOD = "label,review\n1,fine\n0,poor\n"


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reads_what_the_csv_module_writes(tmp_path: Path) -> None:
    texts = [
        "plain",
        'with "quotes"',
        "a,b",
        "two\nlines",
        "three\r\n\r\nlines",
        "混合、中文",
        "\u2028x",
    ]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "review", "more"])
        writer.writerows([str(i), text, "x"] for i, text in enumerate(texts))
    found = read_table(tmp_path / "t.csv", COLUMNS)
    assert found.columns == {"text": [*texts[:-1], "x"], "label": list("0123456")}
    assert found.lines == [2, 3, 4, 5, 7, 10, 11]
    assert found.heading + "".join(found.raw) == (tmp_path / "t.csv").read_bytes().decode()
    assert found.names == ["label", "review", "more"]
    assert found.notes == []


@pytest.mark.parametrize(
    "name", ["t.csv", "t.CSV", "t.csv.gz", "t.tsv", "t.txt", "t.jsonl", "t.ndjson.gz"]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_format_gives_the_same(tmp_path: Path, name: str, mark: str) -> None:
    content = GOOD
    if ".tsv" in name or ".txt" in name:
        content = GOOD.replace(",", "\t")
    if "json" in name:
        rows = [{"label": 1, "review": "fine", "x": None}, {"review": "poor", "label": 0}]
        content = "\n".join(map(json.dumps, rows))
    encoded = (mark + content).encode()
    path = written(tmp_path, gzip.compress(encoded) if name.endswith(".gz") else encoded, name)
    found = read_table(path, COLUMNS)
    assert found.columns == {"text": ["fine", "poor"], "label": ["1", "0"]}


def test_tab_files_have_one_row_a_line_and_ordinary_quotes(tmp_path: Path) -> None:
    lines = [
        '"no" he said\t1',
        'the "end\t0',
        '"whole ""field"" quoted"\t1',
        '"open\t0',
        "plain\t1",
    ]
    found = read_table(written(tmp_path, "\n".join(lines), "t.tsv"), {"text": 0, "label": 1})
    assert found.columns["text"] == [
        '"no" he said',
        'the "end',
        'whole "field" quoted',
        '"open',
        "plain",
    ]
    assert found.lines == [1, 2, 3, 4, 5]


def test_fields_lose_outer_blanks_and_byte_order_marks(tmp_path: Path) -> None:
    found = read_table(
        written(tmp_path, "label , review\n 1 ,\ufeff a b \n\n\n0,b\u3000\n"), COLUMNS
    )
    assert found.columns == {"text": ["a b", "b"], "label": ["1", "0"]}
    assert found.lines == [2, 5]


@pytest.mark.parametrize(
    ("columns", "header", "rows"),
    [
        ({"text": 1, "label": 0}, "auto", 3),
        ({"text": 1, "label": 0}, True, 2),
        ({"text": 1, "label": 0}, False, 3),
        ({"text": "review", "label": 0}, "auto", 2),
        (COLUMNS, True, 2),
    ],
)
def test_columns_by_name_and_position(tmp_path: Path, columns, header, rows) -> None:
    found = read_table(written(tmp_path, GOOD), columns, header=header)
    assert len(found) == rows
    assert found.columns["text"][-2:] == ["fine", "poor"]


def test_json_labels_may_be_numbers_and_booleans(tmp_path: Path) -> None:
    lines = [json.dumps({"review": "a", "label": v}) for v in ("x", 1, 1.0, True)]
    found = read_table(written(tmp_path, "\n".join(lines), "t.jsonl"), COLUMNS)
    assert found.columns["label"] == ["x", "1", "1.0", "true"]


def test_very_long_fields_are_read(tmp_path: Path) -> None:
    text = "long " * 100_000 + "end"
    assert read_table(written(tmp_path, f"label,review\n1,{text}\n"), COLUMNS).columns["text"] == [
        text
    ]


LATIN = "label,review\n1,fine\n0,caf\xe9\n".encode("latin-1")

# What is wrong with single rows: rows that stay, and what is said of the others.
ROWS = {
    "ragged rows": (
        "t.csv", GOOD + "1\n1,a,b\n", 2, "another number of fields than 2: 2 (line 4 (1), 5 (3))",
    ),
    "empty texts": ("t.csv", GOOD + '0,\n1,"  "\n', 2, "empty text: 2 (line 4, 5)"),
    "missing labels": ("t.csv", GOOD + ",good\n", 2, "missing label: 1 (line 4)"),
    "not UTF-8": ("t.csv", LATIN, 1, "not UTF-8: 1 (line 3 (byte 5 is 0xe9))"),
    "a quote never closed": (
        "t.csv", GOOD + '1,"open\n0,b\n', 3, "broken quotes: 1 (line 4 (opened and never closed))",
    ),
    "text behind a quote": ("t.csv", GOOD + '1,"a" b\n0,c\n', 3, "broken quotes: 1 (line 4 ("),
    "many": (
        "t.csv", GOOD + "1,\n" * 12, 2,
        "of no use: 12 rows (empty text: 12 (line 4, 5, 6, 7, 8, ...))",
    ),
    "line breaks in a tab file": (
        "t.tsv", 'label\treview\n1\tok\n0\t"a\nb"\n', 2,
        "another number of fields than 2: 1 (line 4 (1))",
    ),
    "no JSON": (
        "t.jsonl", '{"review": "a", "label": 1}\n{"review"\n', 1,
        "not JSON: 1 (line 2 (Expecting ':' delimiter))",
    ),
    "no object": (
        "t.jsonl", '{"review": "a", "label": 1}\n[1]\n', 1, "not a JSON object: 1 (line 2 (list))",
    ),
    "bottomless JSON": (
        "t.jsonl", '{"review": "a", "label": 1}\n' + "[" * 100_000, 1, "not JSON: 1 (line 2",
    ),
    "no key": (
        "t.jsonl", '{"review": "a", "label": 1}\n{"review": "b"}\n', 1,
        "no key 'label': 1 (line 2)",
    ),
    "null as label": (
        "t.jsonl", '{"review": "a", "label": 1}\n{"review": "b", "label": null}\n', 1,
        "missing label: 1 (line 2)",
    ),
    "a list as text": (
        "t.jsonl", '{"review": "a", "label": 1}\n{"review": ["b"], "label": 1}\n', 1,
        "'review' is not a string: 1 (line 2 (list))",
    ),
    "half a character": (
        "t.jsonl", '{"review": "a", "label": 1}\n{"review": "\\ud83d", "label": 1}\n', 1,
        "'review' has half of a surrogate pair: 1 (line 2)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "kept", "message"), ROWS.values(), ids=ROWS)
def test_rows_of_no_use_are_named_or_left_out(
    tmp_path: Path, name: str, content: str | bytes, kept: int, message: str
) -> None:
    path = written(tmp_path, content, name)
    with pytest.raises(DataError) as caught:
        read_table(path, COLUMNS)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: of no use: ")
    assert "data.on_error=skip" in str(caught.value)
    found = read_table(path, COLUMNS, on_error="skip")
    assert len(found) == len(found.columns["text"]) == kept
    assert found.notes[0].startswith(f"{path}: left out ")
    assert message.removeprefix("of no use: ") in found.notes[0]


def test_all_kinds_are_named_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, LATIN + b"1,\n,x\n1,2,3\n")
    with pytest.raises(DataError, match="4 rows") as caught:
        read_table(path, COLUMNS)
    kinds = ("not UTF-8", "empty text", "missing label", "another number of fields")
    assert all(kind in str(caught.value) for kind in kinds)


# What makes a whole file useless: nothing can be left out.
FILES = {
    "missing columns": (
        "t.csv", "labels,text\n1,a\n", "data.text_column: ",
        "has no column 'label', only labels, text; did you mean 'labels'?",
    ),
    "missing column in JSON": (
        "t.jsonl", '{"review": "a", "lable": 1}', "has no column 'label'", "did you mean 'lable'?",
    ),
    "empty": ("t.csv", "", "t.csv: the file is empty", ""),
    "blank": ("t.csv", "\n \n", "t.csv: the file is empty", ""),
    "header only": ("t.csv", "label,review\n", "a header, but no rows below it", ""),
    "binary": ("t.csv", b"label,review\n1,\0\xff\n", "line 2 holds a NUL byte (offset 15)", ""),
    "UTF-16": ("t.csv", GOOD.encode("utf-16"), "UTF-16; save it as UTF-8", ""),
    "a workbook": ("t.csv", b"PK\x03\x04\x14\0", "workbook or zip; export it as CSV", ""),
    "damaged gzip": ("t.csv.gz", gzip.compress(GOOD.encode())[:-9], "cannot be read: ", ""),
    "no gzip": ("t.csv.gz", GOOD, "cannot be read: Not a gzipped file", ""),
    "semicolons": (
        "t.csv", GOOD.replace(",", ";"), "only one column with ',' as delimiter",
        "data.delimiter=';' may fit",
    ),
    "commas in a tab file": (
        "t.tsv", GOOD, "only one column with tab as delimiter", "data.delimiter=',' may fit",
    ),
    "a column twice": ("t.csv", "label,review,label\n1,a,2\n", "names 'label' twice", ""),
    "no useful row": ("t.csv", "label,review\n1,\n", "no row is of use: 1 row (empty text", ""),
    "header not UTF-8": ("t.csv", b"label,review,\xe9\n1,a,b\n", "line 1: not UTF-8", ""),
}  # fmt: skip


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(("name", "content", "message", "hint"), FILES.values(), ids=FILES)
def test_files_of_no_use_are_refused(
    tmp_path: Path, name: str, content: str | bytes, message: str, hint: str, on_error
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(written(tmp_path, content, name), COLUMNS, on_error=on_error)
    assert message in str(caught.value)
    assert hint in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "columns", "arguments", "message"),
    [
        ("t.csv", COLUMNS, {"header": False}, "data.header: false, so data.text_column and"),
        ("t.csv", COLUMNS, {"header": "yes"}, "data.header: must be true, false or auto"),
        ("t.csv", COLUMNS, {"delimiter": ",,"}, "data.delimiter: must be one character or tab"),
        ("t.csv", COLUMNS, {"on_error": "drop"}, "data.on_error: must be raise or skip"),
        ("t.csv", {"label": -1}, {}, "data.label_column: must be a name or a position from 0"),
        ("t.csv", {"label": ""}, {}, "data.label_column: must be a name or a position from 0"),
        ("t.csv", {"label": 7}, {}, "has no column 7, only 0 to 1"),
        ("t.jsonl", {"label": 0}, {}, "data.label_column: JSON lines have keys"),
        ("t.xlsx", COLUMNS, {}, "must end in .csv, .tsv, .txt, .jsonl, .ndjson"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, name, columns, arguments, message) -> None:
    with pytest.raises(BurnishError) as caught:
        read_table(written(tmp_path, GOOD, name), columns, **arguments)
    assert message in str(caught.value)


def test_all_bad_arguments_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_table(tmp_path / "t.csv", {"label": -1, "text": 1.5}, header=0.5, on_error="drop")  # type: ignore[arg-type,dict-item]
    assert len(caught.value.problems) == 4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv: no such file"):
        read_table(tmp_path / "t.csv", COLUMNS)


@pytest.mark.parametrize(("delimiter", "sign"), [(";", ";"), ("tab", "\t"), ("|", "|")])
def test_delimiters_can_be_given(tmp_path: Path, delimiter: str, sign: str) -> None:
    path = written(tmp_path, GOOD.replace(",", sign), "t.data")
    assert read_table(path, COLUMNS, delimiter=delimiter).columns["text"] == ["fine", "poor"]


def test_messages_can_name_other_options(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--text-column: "):
        read_table(
            written(tmp_path, "label,x\n1,a\n"),
            COLUMNS,
            option=lambda name: "--" + name.replace("_", "-"),
        )


def test_classes_are_sorted_by_value_if_all_are_numbers() -> None:
    assert sorted_classes(["10", "9", "-1", "9"]) == ("-1", "9", "10")
    assert sorted_classes(["10", "9", "x"]) == ("10", "9", "x")
    assert sorted_classes(["nan", "2", "10"]) == ("10", "2", "nan")


def test_labels_become_indices_and_strange_ones_are_named(tmp_path: Path) -> None:
    found = read_table(written(tmp_path, GOOD), COLUMNS)
    assert class_indices(found, ("0", "1")) == [1, 0]
    with pytest.raises(DataError, match=r"classes that train does not have: 1 \(line 2\)"):
        class_indices(found, ("0", "2"))


def test_only_some_rows_can_be_kept(tmp_path: Path) -> None:
    found = read_table(written(tmp_path, GOOD), COLUMNS).kept([False, True])
    assert (found.columns, found.lines, found.raw) == (
        {"text": ["poor"], "label": ["0"]},
        [3],
        ["0,poor\n"],
    )


def test_tables_are_read_without_torch() -> None:
    code = "import sys, burnish.data.records; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_broken_quotes_cost_their_own_line_only(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    rows = ["a,one", 'b,"never closed', "a,two", 'b,"closed, with\na break"', "b,four"]
    table.write_text("\n".join(["label,text", *rows]) + "\n")
    found = read_table(table, {"text": "text", "label": "label"}, on_error="skip")
    assert found.columns["text"] == ["one", "two", "closed, with\na break", "four"]
    assert found.lines == [2, 4, 5, 7]
    assert found.problems == {"broken quotes": ["3 (',' expected after '\"')"]}
    table.write_text("\n".join(["label,text", *rows[:3], "b,four"]) + "\n")
    found = read_table(table, {"text": "text", "label": "label"}, on_error="skip")
    assert found.columns["text"] == ["one", "two", "four"]
    assert found.problems == {"broken quotes": ["3 (opened and never closed)"]}
