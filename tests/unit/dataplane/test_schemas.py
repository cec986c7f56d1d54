"""Columns of tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.dataplane import describe_table
from tallystick.dataplane.refusals import TableUnreadableError


def columns_of(path: Path) -> list[tuple[str, str]]:
    """Return names and types."""
    table = describe_table(path)
    assert table is not None
    return [(column.name, column.type) for column in table.columns]


def test_csv_columns_rows_and_preview(tmp_path: Path) -> None:
    """Types are those of the sample; codes with leading zeros stay text; empty cells say nothing."""
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufeffid,name,price,when,day,ok,zip,empty,mixed\n"
        '1,"Smith, J",1.5,2024-05-01T10:00:00Z,2024-05-01,true,01234,,1\n'
        "-2,Doe,2,2024-05-02 11:00:00,2024-05-02,FALSE,99999,,x\n",
        encoding="utf-8",
    )
    table = describe_table(path, preview_rows=1)
    assert table is not None
    assert [column.type for column in table.columns] == [
        "integer", "string", "number", "datetime", "date", "boolean", "string", "string", "string",
    ]  # fmt: skip
    assert (table.columns[0].name, table.rows) == ("id", 2)
    assert table.preview[0][:3] == ("1", "Smith, J", "1.5")


def test_delimiters_and_odd_headers(tmp_path: Path) -> None:
    """Semicolons and tabs are recognised; unnamed and repeated columns get names of their own."""
    (tmp_path / "a.csv").write_text("a;b;a;\n1;2;3;4\n")
    assert columns_of(tmp_path / "a.csv") == [
        ("a", "integer"), ("b", "integer"), ("a_3", "integer"), ("column_4", "integer"),
    ]  # fmt: skip
    (tmp_path / "a.tsv").write_text("a,b\tc\n1\t2\n")
    assert columns_of(tmp_path / "a.tsv") == [("a,b", "integer"), ("c", "integer")]
    (tmp_path / "empty.csv").write_text("")
    assert columns_of(tmp_path / "empty.csv") == []


def test_quoted_line_ends_are_part_of_a_field(tmp_path: Path) -> None:
    """A row may span lines, and is counted once."""
    (tmp_path / "a.csv").write_text('a,b\n"x\ny",1\nz,2\n')
    table = describe_table(tmp_path / "a.csv")
    assert table is not None
    assert (table.rows, table.preview) == (2, (("x\ny", "1"), ("z", "2")))


def test_large_file_is_sampled(tmp_path: Path) -> None:
    """Only the beginning decides the types, and rows of a file past the limit are not counted."""
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("n\n")
        file.write("123456\n" * 10_000_000)
        file.write("text\n")
    table = describe_table(path)
    assert table is not None
    assert (table.columns[0].type, table.rows, len(table.preview)) == ("integer", None, 20)


def test_json_lines(tmp_path: Path) -> None:
    """Columns come in order of first appearance, with the types of JSON; null says nothing."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"a":1,"b":null,"d":"2024-05-01"}\n\n{"a":2.5,"b":{"x":1},"c":[1],"d":"2024-05-02"}\n')
    table = describe_table(path)
    assert table is not None
    assert [(column.name, column.type) for column in table.columns] == [
        ("a", "number"), ("b", "object"), ("d", "date"), ("c", "list"),
    ]  # fmt: skip
    assert (table.rows, table.preview[1]) == (2, ("2.5", '{"x": 1}', "2024-05-02", "[1]"))


def test_parquet(tmp_path: Path) -> None:
    """Parquet gives its own types and row count."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"a": [1, 2, None], "b": ["x", "y", "z"]}), tmp_path / "a.parquet")
    table = describe_table(tmp_path / "a.parquet", preview_rows=2)
    assert table is not None
    assert [(column.name, column.type) for column in table.columns] == [("a", "int64"), ("b", "string")]
    assert (table.rows, table.preview) == (3, (("1", "x"), ("2", "y")))


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.csv", b"a,b\n\xff\xfe,1\n"), ("a.jsonl", b"[1]\n"), ("a.jsonl", b"{\n"), ("a.parquet", b"not parquet")],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, name: str, data: bytes) -> None:
    """A file that is not what its ending says gives an error with a remedy, without a library's text."""
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TableUnreadableError, match="cannot be read as"):
        describe_table(tmp_path / name)


def test_other_files_have_no_columns(tmp_path: Path) -> None:
    """A document is no table."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    assert describe_table(tmp_path / "a.pdf") is None
