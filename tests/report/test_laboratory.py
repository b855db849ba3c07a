"""The page's laboratory: the machine is named once, in words, and what is not known of it is hidden."""

import re

import pytest

from edgepack.measure.measurement import QUICK
from edgepack.measure.measuring import measure
from edgepack.pack.manifest import read_manifest
from edgepack.report.figures import in_digits
from edgepack.report.judge import judge
from edgepack.report.write import html


@pytest.fixture(scope="module")
def manifest(pack_folder):
    return read_manifest(pack_folder)


@pytest.fixture(scope="module")
def measured(pack_folder, manifest):
    return measure(pack_folder, manifest, median_length=9, effort=QUICK)


@pytest.mark.slow
def test_the_laboratory_names_its_machine_once_and_what_is_known_of_it_in_words(manifest, measured):
    there = {"arch": "aarch64", "emulated_by": None, "isa": [], "clock_mhz": 1500.04, "temperature_c": 61.25, "os": "Linux 6", "odd_key": 1}
    page = html(judge(manifest, measured.model_copy(update={"environment": measured.environment | {"machine": there}})))
    budgets, laboratory = page.split('<details class="laboratory">')
    assert laboratory.count(measured.where) == 1 and "unknown" not in laboratory and "_mhz" not in laboratory
    rows = re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td></tr>", laboratory.split("Where the figures come from")[-1])
    assert rows[:5] == [
        ("architecture", "aarch64"),
        ("clock", "1500 MHz"),
        ("temperature", "61.2 °C"),
        ("system", "Linux 6"),
        ("odd key", "1"),
    ]
    here = next(check.here for check in judge(manifest, measured).checks if check.name == "latency_ms")
    assert f'<td class="n">{in_digits(here)} ms</td>' in budgets


def test_a_line_never_ends_within_a_flag(manifest, measured):
    report = judge(manifest, measured).model_copy(update={"summary": "A longer one (--epochs 17) <b>"})
    assert 'A longer one <span class="word">(--epochs</span> 17) &lt;b&gt;</p>' in html(report)
