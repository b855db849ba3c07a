"""A report as JUnit's XML, which every CI shows: a case for each budget, each target and each figure of the baseline."""

from pathlib import Path
from xml.etree import ElementTree

from edgepack.core.escape import visible
from edgepack.core.files import write_atomically
from edgepack.measure.ops import OpProfile
from edgepack.report.baseline import Regression
from edgepack.report.records import Check, Report

_PREDICTED = {"yes": "is predicted to hold", "likely": "is likely to hold"}
_COUNTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def write_junit(path: Path, report: Report) -> None:
    """Whole or not at all."""
    write_atomically(path, junit(report) + "\n")


def junit(report: Report) -> str:
    """Failures: a budget over its limit, and a figure that became worse than allowed. Errors: a target that could not measure.

    Skipped: a budget that nobody measured, whether a prediction says that it holds or nothing is known; scores that cannot be compared.
    """
    suite = ElementTree.Element("testsuite", name=visible(f"edgepack {report.profile}"), tests="0")
    for check in report.checks:
        _budget(suite, check)
    for target in report.targets:
        case = _case(suite, "target", target.target)
        if target.failure:
            ElementTree.SubElement(case, "error", message=visible(target.failure)).text = visible(target.fix or "")
    if report.baseline:
        for row in report.baseline.rows:
            _regression(suite, row, report.baseline.most)
        if report.baseline.left_out:
            ElementTree.SubElement(_case(suite, "baseline.the test split", "score"), "skipped", message=visible(report.baseline.left_out))
    if report.ops and report.ops.most_fallback is not None:
        _fallback(suite, report.ops)
    counts = {name: str(len(suite.findall(f"testcase/{tag}"))) for name, tag in _COUNTS.items()}
    suite.attrib.update(counts, tests=str(len(suite)))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _budget(suite: ElementTree.Element, check: Check) -> None:
    case = _case(suite, "budget", check.name)
    figure = f"{check.name} {check.actual} ({check.origin} {check.where}), limit {check.limit:g}"
    if check.origin == "predicted" and check.holds in _PREDICTED:
        ElementTree.SubElement(case, "skipped", message=visible(f"not measured: {figure}; it {_PREDICTED[check.holds]}"))
    elif check.ok is None:
        ElementTree.SubElement(case, "skipped", message=visible(f"{check.name} is not known: {check.where}"))
    elif not check.ok:
        ElementTree.SubElement(case, "failure", message=visible(figure))


def _regression(suite: ElementTree.Element, row: Regression, most: float) -> None:
    place = "".join(f" {value} {unit}" for value, unit in ((row.length, "tokens"), (row.threads, "threads")) if value is not None)
    case = _case(suite, f"baseline.{row.target}", f"{row.what}{place}")
    if row.is_worse:
        times = "" if row.ratio is None else f": {row.ratio:.3f} times"
        ElementTree.SubElement(case, "failure", message=f"{row.now:g} after {row.before:g}{times}, limit {most * 100:.3g} % worse")


def _fallback(suite: ElementTree.Element, ops: OpProfile) -> None:
    case = _case(suite, "fallback", ", ".join(ops.providers))
    if ops.exceeds:
        ElementTree.SubElement(case, "failure", message=f"{ops.fallback_share:.1%} of the time ran on the CPU, limit {ops.most_fallback:g}")


def _case(suite: ElementTree.Element, kind: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=visible(f"edgepack.{kind}"), name=visible(name))
