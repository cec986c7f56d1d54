"""Columns of tables, read from the beginning of a file: CSV, TSV, JSON lines, and Parquet where pyarrow is installed.

Rules:

- At most `SAMPLE_BYTES` and `SAMPLE_ROWS` are looked at for names and types, so a type is what the sample shows and not a
  promise about every row. Rows are counted only where that is cheap.
- Types are few: integer, number, boolean, date, datetime, string, object, list, null; Parquet's are its own names.
- The first line of a CSV or TSV file names its columns.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from tallystick.dataplane.media_types import CSV, JSON_LINES, PARQUET, TSV, media_type_of
from tallystick.dataplane.refusals import TableUnreadableError

SAMPLE_BYTES = 4 << 20
SAMPLE_ROWS = 1_000
PREVIEW_ROWS = 20
COUNTED_BYTES = 64 << 20
FIELD_BYTES = 1 << 20
SHOWN_CHARACTERS = 200
TABLE_TYPES = frozenset({CSV, TSV, JSON_LINES, PARQUET})


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: as the file calls it; `column_3` where it does not.
        type: see the rules of this module.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Table:
    """What the beginning of a table shows.

    Attributes:
        media_type: of the file.
        columns: in order.
        rows: how many the file has, where that was cheap to know.
        preview: its first rows, values as text, cut to 200 characters.
    """

    media_type: str
    columns: tuple[Column, ...]
    rows: int | None
    preview: tuple[tuple[str, ...], ...]


def describe_table(path: Path, *, media_type: str = "", preview_rows: int = PREVIEW_ROWS) -> Table | None:
    """Return the columns and first rows of a file, or None if it is no table that can be read here.

    Args:
        path: of the file.
        media_type: where its name does not say.
        preview_rows: how many rows to keep.

    Raises:
        TableUnreadableError: it says that it is a table and is not.
    """
    kind = media_type or media_type_of(path.name)
    try:
        if kind in (CSV, TSV):
            return _delimited(path, kind, preview_rows)
        if kind == JSON_LINES:
            return _json_lines(path, preview_rows)
        if kind == PARQUET:
            return _parquet(path, preview_rows)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise TableUnreadableError(
            f"{path} cannot be read as {kind}: {_reason(error)}",
            remedy="Check the file (UTF-8, one header line), or offer it without a column schema.",
        ) from error
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return error.strerror or "it cannot be opened" if isinstance(error, OSError) else "it is not well formed"


def _sample(path: Path) -> tuple[str, bool]:
    """Return the text that a file begins with, whole lines only, and whether that is all of it."""
    with path.open("rb") as file:
        data = file.read(SAMPLE_BYTES + 1)
    if len(data) <= SAMPLE_BYTES:
        return data.decode("utf-8-sig"), True
    end = data.rfind(b"\n", 0, SAMPLE_BYTES)
    if end < 0:
        raise ValueError("a line is too long")
    return data[: end + 1].decode("utf-8-sig"), False


def _delimited(path: Path, kind: str, preview_rows: int) -> Table:
    text, whole = _sample(path)
    delimiter = "\t" if kind == TSV else _delimiter(text)
    reader = _rows(io.StringIO(text, newline=""), delimiter)
    names = _unique_names(next(reader, []))
    # A quoted field may hold line ends, so the sample's last row may be half of one.
    found = list(islice(reader, SAMPLE_ROWS + 1))
    sample = found[:SAMPLE_ROWS] if whole or len(found) > SAMPLE_ROWS else found[:-1]
    columns = tuple(
        Column(name, _type_of_texts(row[at] for row in sample if at < len(row))) for at, name in enumerate(names)
    )
    rows = None
    if path.stat().st_size <= COUNTED_BYTES and names:
        with path.open("r", encoding="utf-8-sig", newline="") as file:
            rows = sum(1 for _ in _rows(file, delimiter)) - 1
    preview = tuple(
        tuple(_shown(row[at]) if at < len(row) else "" for at in range(len(names))) for row in sample[:preview_rows]
    )
    return Table(kind, columns, rows, preview)


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(FIELD_BYTES)
    return (row for row in csv.reader(lines, delimiter=delimiter) if row)


def _delimiter(text: str) -> str:
    """Return which of the usual delimiters the header line has most of; a comma where it has none."""
    header = next(iter(text.splitlines()), "")
    return max(",;\t|", key=lambda mark: (header.count(mark), mark == ","))


def _unique_names(header: list[str]) -> list[str]:
    names: list[str] = []
    taken: set[str] = set()
    for position, raw in enumerate(header, 1):
        name = raw.strip() or f"column_{position}"
        name = name if name not in taken else f"{name}_{position}"
        taken.add(name)
        names.append(name)
    return names


def _type_of_texts(values: Iterable[str]) -> str:
    """Return the narrowest type that all texts that are not empty fit; string where there are none."""
    kinds = {_type_of_text(value.strip()) for value in values if value.strip()}
    return _common(kinds) if kinds else "string"


def _type_of_text(value: str) -> str:
    if value.lower() in ("true", "false"):
        return "boolean"
    digits = value[1:] if value[0] in "+-" else value
    if digits.isascii() and digits.isdecimal():
        # A leading zero is part of a code (a postcode, an account), not of a number.
        return "integer" if len(digits) <= 18 and (digits == "0" or digits[0] != "0") else "string"
    if digits[:1].isdecimal() or digits[:1] == ".":
        for kind, parse in (("number", float), ("date", date.fromisoformat), ("datetime", datetime.fromisoformat)):
            try:
                parse(value)
            except ValueError:
                continue
            return kind
    return "string"


def _common(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds == {"integer", "number"}:
        return "number"
    return "datetime" if kinds == {"date", "datetime"} else "string"


def _json_lines(path: Path, preview_rows: int) -> Table:
    text, whole = _sample(path)
    lines = [line for line in text.split("\n") if line.strip()]
    kinds: dict[str, set[str]] = {}
    sample: list[dict[str, Any]] = []
    for line in lines[:SAMPLE_ROWS]:
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError("a line is not an object")
        sample.append(value)
        for name, item in value.items():
            kinds.setdefault(name, set()).add(_type_of_json(item))
    columns = tuple(Column(name, _common_json(found)) for name, found in kinds.items())
    rows: int | None = len(lines) if whole else None
    if rows is None and path.stat().st_size <= COUNTED_BYTES:
        with path.open("rb") as file:
            rows = sum(1 for line in file if line.strip())
    preview = tuple(
        tuple("" if row.get(name) is None else _shown(row[name]) for name in kinds) for row in sample[:preview_rows]
    )
    return Table(JSON_LINES, columns, rows, preview)


def _type_of_json(value: object) -> str:
    if isinstance(value, str):
        found = _type_of_text(value) if value else "string"
        return found if found in ("date", "datetime") else "string"
    names = ((bool, "boolean"), (int, "integer"), (float, "number"), (dict, "object"), (list, "list"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def _common_json(kinds: set[str]) -> str:
    known = kinds - {"null"}
    return _common(known) if known else "null"


def _parquet(path: Path, preview_rows: int) -> Table | None:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        return None
    with path.open("rb") as opened:
        try:
            file = parquet.ParquetFile(opened)
            columns = tuple(Column(field.name, str(field.type)[:60]) for field in file.schema_arrow)
            first = next(file.iter_batches(batch_size=max(1, preview_rows)), None)
        except arrow.ArrowException as error:
            raise ValueError("not Parquet") from error
        found = [] if first is None else first.slice(0, preview_rows).to_pylist()
        rows = file.metadata.num_rows
    preview = tuple(
        tuple("" if row[column.name] is None else _shown(row[column.name]) for column in columns) for row in found
    )
    return Table(PARQUET, columns, rows, preview)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, bool)) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
