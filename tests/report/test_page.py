"""The report's page in a real Chromium: drawn, readable in light and dark and on a phone, and usable with a keyboard."""

import json

import browsers
import pytest

from edgepack.measure.measurement import QUICK, Slice, Sustained
from edgepack.measure.measuring import measure
from edgepack.measure.ops import profile_ops
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.compare import compare
from edgepack.report.comparison import write_comparison
from edgepack.report.judge import judge
from edgepack.report.records import TargetRow
from edgepack.report.regression import against
from edgepack.report.write import write_report

pytestmark = [
    pytest.mark.skipif(browsers.missing() is not None, reason=str(browsers.missing())),
    pytest.mark.slow,
]
# WCAG 2.2, 1.4.3: 4.5 to 1, by relative luminance. Text in a coloured cell stands on the colour as it is blended with the page.
_CONTRAST = """() => {
  const parse = (text) => { const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a ?? 1]; };
  const over = (top, below) => top.slice(0, 3).map((one, i) => one * top[3] + below[i] * (1 - top[3]));
  const light = (colour) => colour.slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const own = parse(getComputedStyle(element).backgroundColor);
    return element.parentElement && own[3] < 1 ? over(own, behind(element.parentElement)) : own;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text.length || ["STYLE", "SCRIPT"].includes(element.tagName)) continue;
    const style = getComputedStyle(element), colour = parse(element.ownerSVGElement ? style.fill : style.color);
    const [a, b] = [light(colour), light(behind(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.tagName + " " + text[0].textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def pages(pack_folder, tmp_path_factory):
    """A report with every section that there is, and a comparison: name, file."""
    place = tmp_path_factory.mktemp("pages")
    manifest = read_manifest(pack_folder)
    budget = manifest.plan.budget.model_copy(update={"file_mb": 0.001})  # one that does not hold, so that a next step is shown
    manifest = manifest.model_copy(update={"plan": manifest.plan.model_copy(update={"budget": budget})})
    slices = tuple(Slice(at_s=10.0 * i, n=9, p50=1 + i / 9, p90=2.0, clock_mhz=None, temperature_c=None) for i in range(30))
    held = Sustained(length=96, threads=2, seconds=300, first_minute_ms=1.2, last_minute_ms=3.9, slices=slices)
    measured = measure(pack_folder, manifest, median_length=9, effort=QUICK).model_copy(update={"sustained": held})
    report = judge(manifest, measured)
    rows = [TargetRow(target=name, address=name, where="somewhere", median_ms=ms) for name, ms in (("a", 2.0), ("b", 3.0))]
    rows.append(TargetRow(target="c", address="ssh://c", failure="no route", fix="switch it on"))
    more = {"targets": tuple(rows), "ops": profile_ops(pack_folder, manifest)}
    write_report(place, against(report, report, "old.json", 0.1).model_copy(update=more))
    copy = place / "copy"
    copy.mkdir()
    for file in pack_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    write_comparison(place, compare([pack_folder, copy], effort=QUICK.model_copy(update={"runs": 3, "seconds": 0.0})))
    return {name: place / f"{name}.html" for name in ("report", "comparison")}


@pytest.fixture(scope="module")
def chromium():
    with browsers.browser() as result:
        yield result


@pytest.fixture(params=[(1280, "light"), (768, "dark"), (360, "light"), (360, "dark")], ids=lambda screen: f"{screen[0]}-{screen[1]}")
def opened(request, chromium, pages):
    """name -> (page, what its console said), at this width and in these colours, without a network."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)

    def open_page(name):
        page, text = context.new_page(), []
        page.on("console", lambda message: text.append(message.text))
        page.on("pageerror", lambda error: text.append(str(error)))
        page.on("request", lambda asked: text.append(asked.url) if not asked.url.startswith("file:") else None)
        page.goto(pages[name].as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        return page, text

    yield open_page
    context.close()


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_page_is_drawn_and_readable(opened, name):
    page, message = opened(name)
    assert message == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page itself scrolls sideways"
    empty = page.evaluate(
        "[...document.querySelectorAll('svg')].filter((svg) => ![...svg.querySelectorAll('rect, circle, polyline, line')]"
        ".some((one) => { const box = one.getBoundingClientRect(); return box.width + box.height > 3; })).length"
    )
    assert page.locator("svg").count() >= (10 if name == "report" else 1) and empty == 0
    faint = [(round(ratio, 2), text) for ratio, text in page.evaluate(_CONTRAST) if ratio < 4.5]
    assert faint == []
    page.close()


def test_text_in_plots_is_large_enough_and_lies_within_them(opened):
    page, _ = opened("report")
    sizes = page.evaluate("[...document.querySelectorAll('svg text')].map((one) => one.getBoundingClientRect().height)")
    assert min(sizes) >= 10
    outside = page.evaluate(
        "[...document.querySelectorAll('svg text, figure .label, figure .value, .x span, .y span, figcaption')].filter((part) => {"
        " const a = part.getBoundingClientRect(), b = part.closest('figure').getBoundingClientRect();"
        " return a.right > b.right + 2 || a.left < b.left - 2; }).map((part) => part.textContent)"
    )
    assert outside == []
    broken = page.evaluate(
        "[...document.querySelectorAll('.x span, .y span')].filter((tick) => tick.getBoundingClientRect().height > 30)"
        ".map((tick) => tick.textContent)"
    )
    assert broken == [], "a tick's number stands on several lines"
    page.close()


def test_the_first_screen_answers_what_a_product_manager_asks(opened):
    """Does it fit, how big, how fast, how good, what next: in words, with where each figure comes from, before any table."""
    page, _ = opened("report")
    first = page.inner_text("header")
    for name in ("File size", "Time for one answer", "Memory", "Quality lost"):
        assert name in first
    assert "does not fit" in first and "What next: edgepack build" in first
    assert "to build it again with these settings" in first
    assert first.count("times smaller") == 1 and "MB" in first and "before:" in first
    tiles = page.evaluate("[...document.querySelectorAll('.tile')].map((tile) => tile.innerText.match(/measured|predicted/g))")
    assert len(tiles) == 4 and all(tiles)
    marks = page.evaluate("[...document.querySelectorAll('.legend .mark')].map((mark) => getComputedStyle(mark, '::before').content)")
    assert 2 <= len(set(marks)) == len(marks)  # those that the page uses
    page.close()


def test_a_printed_page_shows_the_laboratory_too(opened):
    page, _ = opened("report")
    page.evaluate("document.querySelector('details').open = false")
    assert not page.locator("details table").first.is_visible()
    page.emulate_media(media="print")
    assert page.locator("details table").first.bounding_box()["height"] > 0
    page.close()


def test_a_print_out_is_dark_on_light_and_keeps_the_colours_that_mean_something(opened):
    page, _ = opened("report")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    exact = "(one) => getComputedStyle(one, one.matches('.key') ? '::before' : null).printColorAdjust"
    assert set(page.evaluate(f"[...document.querySelectorAll('.key, td.lost, td.gained')].map({exact})")) == {"exact"}
    apart = "[...document.querySelectorAll('h3, p:has(> .key)')].filter((one) => getComputedStyle(one).breakAfter !== 'avoid').length"
    assert page.locator("p:has(> .key)").count() > 2 and page.evaluate(apart) == 0
    page.close()


def test_on_a_phone_no_word_of_a_text_is_broken_beside_a_short_decision(opened):
    page, _ = opened("report")
    page.set_viewport_size({"width": 360, "height": 800})
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<div class=\"table texts decided\"><table><tr><td>"
        "it is best to avoid imprisonment with the dull documentary</td><td>1</td><td>0</td></tr></table></div>')"
    )
    widths = page.evaluate("[...document.querySelectorAll('.decided tr:last-child td')].slice(-3).map((one) => one.clientWidth)")
    assert widths[0] > 2 * max(widths[1:])
    page.close()


def test_the_keyboard_reaches_what_scrolls_and_a_screen_reader_hears_a_name(opened):
    page, _ = opened("report")
    scrolling = page.evaluate(
        "[...document.querySelectorAll('.table, figure')].filter((one) => one.tabIndex !== 0 || !one.getAttribute('aria-label')).length"
    )
    assert scrolling == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Budgets"
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((one) => one.tagName)")
    assert levels[0] == "H1" and levels.count("H1") == 1 and page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("[...document.querySelectorAll('th')].every((one) => one.scope)")
    assert page.evaluate("[...document.querySelectorAll('svg')].every((one) => one.getAttribute('role') === 'img' && one.ariaLabel)")
    page.close()


def test_the_verdict_comes_first_and_a_budget_that_breaks_has_a_next_step(opened, pages):
    page, _ = opened("report")
    order = page.evaluate("[...document.querySelectorAll('.verdict, h2')].map((one) => one.textContent.trim())")
    assert order[:2] == ["over budget", "File size"] and order[5:7] == ["Budgets", "Quality, stage by stage"]
    report = json.loads((pages["report"].parent / "report.json").read_text())
    text = next(check["next_step"] for check in report["checks"] if check["name"] == "file_mb")
    assert text in page.inner_text("main")
    page.close()
