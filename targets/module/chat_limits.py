"""What rendering a chat template may cost: rounds of its loops, calls of its macros, and characters that it puts together.

A template is code that came with the model, and the app that renders it has to answer again afterwards. The counts are the same on every
machine. A single step may still fill the memory, as `'a'.center(10000000000)` does: only a process of its own could be stopped there.
"""

from __future__ import annotations

import threading

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from .chat import TooCostly

STEPS, CHARACTERS = 1_000_000, 100_000_000  # some templates join all that was before again for each message
_spent = threading.local()  # a rendering is the work of one thread


def begin() -> None:
    """A rendering begins in this thread."""
    _spent.steps = _spent.characters = 0


class LimitedSandbox(ImmutableSandboxedEnvironment):
    """jinja2's sandbox, in which the steps of a template are counted, and what it puts out, joins, adds and multiplies."""

    intercepted_binops = frozenset(("+", "*", "**"))

    def __init__(self, extensions) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, finalize=_put_out, extensions=[*extensions, _Counts])

    def template_of(self, text):
        begin()  # constants are put together when a template is compiled
        return self.from_string(_Counting(self.extensions[_Counts.identifier]).visit(self.parse(text)))

    def call_binop(self, context, operator, left, right):
        _spend(characters=_size_of(operator, left, right))
        return super().call_binop(context, operator, left, right)


class _Counts(Extension):
    """What a counted template calls. It reaches these by the extension, whose name no template can set."""

    def step(self, written):
        """A round or a call. written: characters of the template's own text in it."""
        _spend(steps=1, characters=written)

    def joined(self, *parts):
        text = "".join(map(str, parts))
        _spend(characters=len(text))
        return text


class _Counting(NodeTransformer):
    """Puts a count at the beginning of each loop's and macro's body, and in the place of each join."""

    def __init__(self, counts) -> None:
        self._counts = counts

    def visit_For(self, node):
        written = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        call = self._counts.call_method("step", [nodes.Const(written, lineno=node.lineno)], lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(call, lineno=node.lineno))
        return node

    visit_Macro = visit_CallBlock = visit_For

    def visit_Concat(self, node):
        self.generic_visit(node)
        return self._counts.call_method("joined", node.nodes, lineno=node.lineno)


def _put_out(value):
    text = str(value)
    _spend(characters=len(text))
    return text


def _size_of(operator, left, right) -> int:
    """Of what comes out: characters, parts of a list, or bits of a number."""
    sizes = [len(value) if hasattr(value, "__len__") else 0 for value in (left, right)]
    whole = [value if isinstance(value, int) else 0 for value in (left, right)]
    if operator == "**":
        return whole[0].bit_length() * abs(whole[1])
    if operator == "+" or not any(sizes):
        return sum(sizes) + sum(value.bit_length() for value in whole)
    return sizes[0] * abs(whole[1]) + sizes[1] * abs(whole[0])


def _spend(steps=0, characters=0) -> None:
    _spent.steps += steps
    _spent.characters += characters
    if _spent.steps > STEPS:
        raise TooCostly("takes more than {:,} rounds of its loops and calls of its macros".format(STEPS))
    if _spent.characters > CHARACTERS:
        raise TooCostly("puts together more than {:,} characters".format(CHARACTERS))
