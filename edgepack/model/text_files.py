"""A file of the user's as text: what is no text, or not in UTF-8, is refused with what it is and how to convert it."""

import shlex
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DATA_BYTES, read_bytes

_UNPACK = "unpack it first, and give the file that was in it"
_NO_TEXTS = {  # what files that hold no text begin with: what they are, and the way out
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("a spreadsheet of an old Excel", "save the sheet as CSV in UTF-8"),
    b"\x1f\x8b": ("compressed by gzip", _UNPACK),
    b"BZh": ("compressed by bzip2", _UNPACK),
    b"\xfd7zXZ": ("compressed by xz", _UNPACK),
    b"(\xb5/\xfd": ("compressed by zstd", _UNPACK),
    b"PAR1": ("a parquet file", "give it the ending .parquet"),
    b"ARROW1": ("an arrow file", "give it the ending .arrow"),
    b"SQLite format 3": ("a database", "write its rows as CSV or jsonl"),
}


def refuse_stand_ins(raw: bytes, path: Path) -> None:
    """EdgepackError where a file that a download left stands for the data: a pointer of Git LFS, or a page that says why there is none."""
    if raw.startswith(b"version https://git-lfs"):
        raise EdgepackError(f"{path.name} is a pointer of Git LFS, not the data", "run `git lfs pull` in its folder, or download the file")
    if raw[:100].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise EdgepackError(f"{path.name} is a web page, not the data", "download the file itself, not the page that shows it")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. EdgepackError: it is something else, or in another encoding; the fix is the command that converts it."""
    raw = read_bytes(path, DATA_BYTES, "split the file")
    for first, (what, fix) in _NO_TEXTS.items():
        if raw.startswith(first):
            raise EdgepackError(f"{path.name} is {what}", fix)
    if path.suffix.lower() != ".txt":
        refuse_stand_ins(raw, path)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw[:200].count(b"\0") > len(raw[:200]) // 4:
        raise EdgepackError(f"{path.name} is UTF-16, not UTF-8", _convert(path, "UTF-16"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        encoding = "CP1252" if any(0x80 <= byte <= 0x9F for byte in raw) else "LATIN1"  # controls in Latin-1: nobody writes them
        raise EdgepackError(
            f"{path.name}:{line} is not UTF-8: byte 0x{raw[error.start]:02x}; the file looks like {encoding}", _convert(path, encoding)
        ) from None


def _convert(path: Path, encoding: str) -> str:
    name = shlex.quote(path.name)
    return f"convert it first: iconv -f {encoding} -t UTF-8 {name} > {shlex.quote('utf8-' + path.name)}"
