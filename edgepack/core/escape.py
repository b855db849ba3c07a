"""Escapes a value for each language that edgepack writes, so that the value never becomes code there.

Values come from a pack, and a pack may come from a stranger: names of labels, versions, licences and notes are data. Each function
returns `Verbatim`, which the templates of core/templates.py put in as it is. What is no Verbatim, they escape themselves.
"""

import json
import re
from collections.abc import Callable
from html import escape as _html_escape

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import visible_lines

_PLAIN = re.compile(r"[A-Za-z0-9_]*")
_MARKDOWN_MARKS = re.compile(r"[\\`*\[\]|~$!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_MARKDOWN_BLOCK = re.compile(r"^(\d{1,9})([.)])(?=\s|$)|^([-+=]+)(?=\s|$)")


class Verbatim(str):
    """Text of a language in which nothing more is to be escaped."""

    __slots__ = ()


def visible(text: str) -> str:
    """The same text on one line, where a character that moves or hides others is replaced by its number: `\\u202e`."""
    return visible_lines(re.sub(r"[\t\r\n]+", " ", text))


def html(text: str) -> Verbatim:
    """For the text of an element, and for an attribute in quotes."""
    return Verbatim(_html_escape(visible(text), quote=True))


def xml(text: str) -> Verbatim:
    """For the text of an element, and for an attribute in quotes."""
    return html(text)


def markdown(text: str) -> Verbatim:
    """For a paragraph, a list's entry or a table's cell: no mark, no HTML, no link and no new block comes of it."""
    shown = visible(text)
    if _PLAIN.fullmatch(shown):
        return Verbatim(shown)  # the same in a sentence and in code
    shown = _MARKDOWN_MARKS.sub(lambda match: "\\" + match[0], shown)
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("://", ":\\//")
    shown = re.sub(r"(?i)\bwww\.", lambda match: match[0][:-1] + "\\.", shown)
    shown = re.sub("^ {2,}", " ", shown)  # four blanks would make it code
    shown = "\\" + shown if shown.startswith("#") else shown
    return Verbatim(_MARKDOWN_BLOCK.sub(lambda match: f"{match[1]}\\{match[2]}" if match[1] else f"\\{match[3]}", shown))


def markdown_code(text: str) -> Verbatim:
    """A code span of Markdown with its backticks, in a table too."""
    shown = visible(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    edge = " " if shown.startswith("`") or shown.endswith("`") else ""
    return Verbatim(f"{'`' * (longest + 1)}{edge}{shown}{edge}{'`' * (longest + 1)}")


def toml(text: str) -> Verbatim:
    """For the inside of a basic string, "..."."""
    return Verbatim("".join(_toml_character(character) for character in text))


def _toml_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= "~":
        return character
    code = 0xFFFD if "\ud800" <= character <= "\udfff" else ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def kotlin(text: str) -> Verbatim:
    """For the inside of a string of Kotlin, "...", as Gradle's build files are written in."""
    return Verbatim("".join(_kotlin_character(character) for character in text))


def _kotlin_character(character: str) -> str:
    if character in '"\\$':
        return "\\" + character
    return character if " " <= character <= "~" else _utf16(character)


def java(text: str) -> Verbatim:
    """For the inside of a string of Java, "...". Java reads \\uXXXX before it looks for quotes, so control characters are octal."""
    return Verbatim("".join(_java_character(character) for character in text))


def _java_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if ord(character) < 0x80:
        return character if " " <= character <= "~" else f"\\{ord(character):03o}"
    return _utf16(character)


def javascript(text: str) -> Verbatim:
    """For the inside of a string of JavaScript, "...", in a file and in a page's <script>."""
    return Verbatim(json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e"))


def python(text: str) -> Verbatim:
    """For the inside of a string of Python, "..."."""
    return Verbatim("".join(_toml_character(character) for character in text))


def systemd(text: str) -> Verbatim:
    """For a setting that systemd reads as text, such as Description: one line, no specifier, no continuation."""
    return Verbatim(visible(text).replace("\\", "/").replace("%", "%%"))


def properties(text: str) -> Verbatim:
    """For a value of a Java properties file: one line, no continuation."""
    return Verbatim("".join(_properties_character(character) for character in text))


def _properties_character(character: str) -> str:
    if character in "\\:=#!":
        return "\\" + character
    return character if " " <= character <= "~" else _utf16(character)


def shell(text: str) -> Verbatim:
    """For a word of a shell's command, and for an argument in the JSON form of a Dockerfile: nothing but plain characters passes.

    EdgepackError: any other. Such files hold names and versions alone, which were checked before.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.+-]*", text):
        raise EdgepackError(f"{visible(text)!r} cannot stand in a command", "give letters, digits and _ . + - alone")
    return Verbatim(text)


def control(text: str) -> Verbatim:
    """For a field of a Debian control file: one line."""
    return Verbatim(visible_lines(re.sub(r"\s+", " ", text)))


def requirement(name: str, version: str) -> Verbatim:
    """A line for pip that pins a version. EdgepackError where the version is none: pip would read options or addresses out of it."""
    from packaging.version import InvalidVersion, Version

    try:
        return Verbatim(f"{name}=={Version(version)}")
    except InvalidVersion:
        raise EdgepackError(f"{visible(version)!r} is not a version of {name}", "build the pack again with this edgepack") from None


def _utf16(character: str) -> str:
    raw = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[at]:02x}{raw[at + 1]:02x}" for at in range(0, len(raw), 2))


LANGUAGES: dict[str, Callable[[str], Verbatim]] = {  # by the last part of a template's name before .j2
    "Dockerfile": shell,
    "control": control,
    "html": html,
    "kt": kotlin,
    "kts": kotlin,
    "md": markdown,
    "properties": properties,
    "service": systemd,
    "sh": shell,
    "toml": toml,
    "xml": xml,
}
