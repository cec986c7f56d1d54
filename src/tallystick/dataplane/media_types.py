"""Media types by the ending of a file's name: a short list of what data comes in, and nothing guessed from contents."""

from __future__ import annotations

from pathlib import PurePosixPath

CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON_LINES = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
UNKNOWN = "application/octet-stream"

_BY_SUFFIX = {
    ".avro": "application/vnd.apache.avro",
    ".arrow": "application/vnd.apache.arrow.file",
    ".bz2": "application/x-bzip2",
    ".csv": CSV,
    ".dcm": "application/dicom",
    ".doc": "application/msword",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".feather": "application/vnd.apache.arrow.file",
    ".geojson": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".gz": "application/gzip",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": JSON_LINES,
    ".md": "text/markdown",
    ".mp4": "video/mp4",
    ".ndjson": JSON_LINES,
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".parquet": PARQUET,
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".sqlite": "application/vnd.sqlite3",
    ".tar": "application/x-tar",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".tsv": TSV,
    ".txt": "text/plain",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}


def media_type_of(path: str) -> str:
    """Return the media type that a file's name stands for, `application/octet-stream` where it says nothing."""
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), UNKNOWN)
