"""Templates that always escape: the file name of a template gives its language, and every value is escaped for it.

A name that is not given is an error. So is a template of a language that core/escape.py does not know.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgepack.core.escape import LANGUAGES, Verbatim, markdown_code, visible


def rendered(package: str, template: str, context: Mapping[str, Any], filters: Mapping[str, Callable[..., Any]] | None = None) -> str:
    """The template of `package`/templates with its names filled in. Pages of HTML also take Markup, the charts, as it is."""
    environment = _environment(package, template.removesuffix(".j2").rpartition(".")[2])
    environment.filters |= {"code": markdown_code} | dict(filters or {})
    return environment.get_template(template).render(context)


@cache  # with the templates that it has compiled
def _environment(package: str, language: str) -> Environment:
    page = language == "html"
    if page:  # jinja2 escapes by itself there
        finalize: Callable[[Any], Any] = _visible_in_a_page
    else:
        finalize = _escaping(LANGUAGES[language])
    return Environment(
        loader=PackageLoader(package),
        autoescape=page,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _visible_in_a_page(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _escaping(escape: Callable[[str], Verbatim]) -> Callable[[Any], Any]:
    def finalize(value: Any) -> Any:
        if isinstance(value, StrictUndefined | Verbatim):  # the first complains when it becomes text
            return value
        return escape(str(value))

    return finalize
