"""A file of the user's as text: what is no text, or not in UTF-8, is refused with what it is and how to convert it."""

import codecs
import re
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

_LONGER_RUNS = 1.5  # bytes beyond ASCII one behind the other, on average: of German 1.0, of Polish 1.9, of Japanese 2.6 and more
_OF_ICONV = {"EUC-JIS-2004": "EUC-JP", "SHIFT-JIS-2004": "SHIFT_JIS", "SHIFT-JIS": "SHIFT_JIS"}
_HEAD_BYTES, _BYTES_A_SEPARATOR = 20_000, 200  # of a text in UTF-16 that could be UTF-8: one separator in so many bytes


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. EdgepackError: it is something else, or in another encoding; the fix is the command that converts it."""
    raw = read_bytes(path, DATA_BYTES, "split the file")
    for first, (what, fix) in _NO_TEXTS.items():
        if raw.startswith(first):
            raise EdgepackError(f"{path.name} is {what}", fix)
    if path.suffix.lower() != ".txt":
        check_stand_in(raw, path.name)
    if encoding := _wide_encoding(raw):
        raise EdgepackError(f"{path.name} is {encoding[:6]}, not UTF-8", _convert(path, encoding))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        problem = f"{path.name}:{line} is not UTF-8: byte 0x{raw[error.start]:02x}"
        if (encoding := _encoding_of(raw)) is None:
            raise EdgepackError(problem, "save the file as UTF-8 with the program that wrote it") from None
        raise EdgepackError(f"{problem}; the file looks like {encoding}", _convert(path, encoding)) from None


def _encoding_of(raw: bytes) -> str | None:
    """As iconv calls it; a guess, by which the user reads the converted file. None: nothing that is likely.

    In Western Europe accents are single letters among plain ones. Elsewhere whole words are beyond ASCII, and there are many encodings.
    """
    runs = re.findall(rb"[\x80-\xff]+", raw[:_HEAD_BYTES]) or [b"\xff"]
    if sum(map(len, runs)) < _LONGER_RUNS * len(runs):
        return "CP1252" if any(0x80 <= byte <= 0x9F for byte in raw) else "LATIN1"  # controls in Latin-1: nobody writes them
    from charset_normalizer import from_bytes

    best = from_bytes(raw[:_HEAD_BYTES].rpartition(b"\n")[0] or raw).best()
    if best is None:
        return None
    name = best.encoding.replace("iso8859", "iso_8859").replace("_", "-").upper()
    return _OF_ICONV.get(name, name)


def _wide_encoding(raw: bytes) -> str | None:
    """UTF-32 or UTF-16 where the file begins with its mark, or reads as that: blanks, ends of lines and commas become many more that way.

    A Russian text without a mark is valid UTF-8 too, and a Chinese one has few NULs. A single NUL can be an error in a text.
    """
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    head = raw[:_HEAD_BYTES]
    nuls = head.count(b"\0")
    if not nuls:
        return None
    texts = {name: head.decode(name, "replace") for name in ("UTF-16LE", "UTF-16BE")}
    separators = {name: sum(map(text.count, " \t\n,;")) for name, text in texts.items()}
    encoding = max(texts, key=lambda name: (separators[name], sum(map(str.isascii, texts[name]))))
    least = max(2, len(head) / _BYTES_A_SEPARATOR) if _is_utf8(head) else 1
    return encoding if separators[encoding] >= least or nuls > len(head) / 4 else None


def _is_utf8(head: bytes) -> bool:
    """Of the first bytes of a file, of which the last can be a part of a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _convert(path: Path, encoding: str) -> str:
    name = shlex.quote(path.name)
    return f"convert it first: iconv -f {encoding} -t UTF-8 {name} > {shlex.quote('utf8-' + path.name)}"
