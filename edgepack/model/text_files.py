"""A file of the user's as text: what is no text, or not in UTF-8, is refused with what it is and how to convert it."""

import shlex
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DATA_BYTES, check_stand_in, read_bytes

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


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. EdgepackError: it is something else, or in another encoding; the fix is the command that converts it."""
    raw = read_bytes(path, DATA_BYTES, "split the file")
    for first, (what, fix) in _NO_TEXTS.items():
        if raw.startswith(first):
            raise EdgepackError(f"{path.name} is {what}", fix)
    if path.suffix.lower() != ".txt":
        check_stand_in(raw, path.name)
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
