"""Every precision is a file with the facts that the other rooms ask for, and no other file asks which precision it is."""

import ast
from pathlib import Path

import pytest

import edgepack
from edgepack.plan.precision import (
    ONNX_DECODER,
    ONNX_ENCODER,
    TFLITE_DECODER,
    TFLITE_ENCODER,
    all_precisions,
    bits_of,
    precision_facts,
    precision_names,
)
from edgepack.quantize.schemes import SCHEMES

PACKAGE = Path(edgepack.__file__).parent
KINDS = (ONNX_ENCODER, ONNX_DECODER, TFLITE_ENCODER, TFLITE_DECODER)
METHODS = {method for _, method in SCHEMES}
OWN_FILES = ("plan/precisions/", "quantize/schemes/", "quantize/onnx_int8_search.py")


def test_the_widest_comes_first():
    assert precision_names() == ("fp32", "fp16", "int8", "int4")
    widths = [facts.bytes_per_weight for facts in all_precisions()]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("name", precision_names())
def test_every_precision_says_for_each_kind_of_file_how_it_is_made_or_why_not(name):
    facts = precision_facts(name)
    assert facts.name == name and facts.computed_in in precision_names() and facts.wider in (None, *precision_names())
    assert set(facts.quantize) | set(facts.refusals) == set(KINDS) and not set(facts.quantize) & set(facts.refusals)
    for kinds in (facts.only_when_asked, facts.suggested_for, facts.in_blocks):
        assert set(kinds) <= set(facts.quantize)
    assert facts.bytes_per_weight == pytest.approx(bits_of(name) / 8, rel=0.15)


def sides(node: ast.AST) -> list[ast.AST]:
    """What a comparison or a case stands on, the members of a tuple each for itself."""
    parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.value] if isinstance(node, ast.MatchValue) else []
    return [inner for part in parts for inner in (part.elts if isinstance(part, ast.Tuple | ast.List | ast.Set) else [part])]


@pytest.mark.slow
def test_no_file_but_a_precisions_and_a_schemes_own_compares_with_its_name():
    """Adding a precision or a scheme touches its file and its row: nobody else asks `if precision == "int8"`."""
    asking = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())) if not place.startswith(OWN_FILES) else ():
            parts = sides(node)
            names = {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
            of_method = any(isinstance(part, ast.Attribute) and part.attr == "method" for part in parts)
            if names & set(precision_names()) or (of_method and names & METHODS):
                asking.setdefault(place, set()).update(names)
    assert asking == ALLOWED


# It stands for something else than a choice between precisions.
ALLOWED = {
    "pipeline/vector_stage.py": {"int8"},  # codes of vectors, which are no weights
    "quantize/matrix_products.py": {"int8", "float"},  # the kinds of a file's tensors, which it counts
}
