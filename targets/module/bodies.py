"""A request's JSON, bounded before it is parsed."""

from __future__ import annotations

import json

MOST_DEPTH = 8  # of lists and objects in a request


def read_json(content: bytes):
    """ValueError: no UTF-8, no JSON, nested deeper than MOST_DEPTH, a key twice, or NaN and the like, which JSON does not have."""
    text = content.decode("utf-8")
    depth = in_text = escaped = 0
    for character in text:  # before the parser, whose own limit is the interpreter's stack
        if in_text:
            in_text, escaped = escaped or character != '"', character == "\\" and not escaped
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise ValueError("nested deeper than {}".format(MOST_DEPTH))
        elif character in "]}":
            depth -= 1
    return json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)


def _once_each(pairs) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands there twice")
    return content


def _no_constant(name):
    raise ValueError("{} is not a number of JSON".format(name))
