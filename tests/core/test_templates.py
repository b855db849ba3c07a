"""A template's own text stands as it was written: what an expression holds is escaped, marks of a table too."""

from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from edgepack.core.escape import LANGUAGES

PACKAGE = Path(__file__).parents[2] / "edgepack"
TEMPLATES = sorted(PACKAGE.rglob("*.j2"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_text_in_an_expression_is_changed_by_its_language(template):
    """Such as `{{ " score |" if scored }}`, whose mark would no longer end a cell: that belongs into {% if %}."""
    escape = LANGUAGES[template.name.removesuffix(".j2").rpartition(".")[2]]
    parsed = jinja2.Environment().parse(template.read_text(encoding="utf-8"))
    parts = [part for output in parsed.find_all(nodes.Output) for part in output.nodes if not isinstance(part, nodes.TemplateData)]
    texts = [part.value for part in parts if isinstance(part, nodes.Const)]
    texts += [const.value for part in parts for const in part.find_all(nodes.Const)]
    assert [text for text in texts if isinstance(text, str) and escape(text) != text] == []
