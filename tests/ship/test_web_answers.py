"""Questions and text in the web module: windows and spans as Python finds them, text as edgepack writes it, in Node and in Chromium."""

import importlib
import json
import subprocess
from types import SimpleNamespace

import browsers
import numpy as np
import parity_texts
import pytest
from tokenizer_kinds import KINDS

from edgepack.ship.generate import generate
from edgepack.ship.load import device_module
from edgepack.ship.shipping import ship

pytestmark = pytest.mark.slow
PROMPT = "Once upon a time"
CALL = "async ([code]) => { const { load } = await import('./index.js'); return eval(code)(load); }"


@pytest.fixture(scope="module")
def writer(stories_pack, tmp_path_factory):
    """The stories' model as a built web module."""
    reason = browsers.missing()
    if reason:
        pytest.skip(reason)
    out = tmp_path_factory.mktemp("web") / "stories"
    ship(stories_pack, "web", out, name="stories")
    failed = browsers.build(out)
    if failed:
        pytest.skip(f"the packages are not to be had: {failed}")
    return out


@pytest.fixture(scope="module")
def chromium():
    with browsers.browser() as browser:
        yield browser


@pytest.fixture
def page(writer, chromium):
    with browsers.served(writer) as url:
        context = chromium.new_context(viewport={"width": 375, "height": 800})
        page = context.new_page()
        page.goto(url)
        yield page
        context.close()


def test_a_browser_writes_what_edgepack_generates_and_proves_itself(page, stories_pack):
    wanted = generate(stories_pack, PROMPT, max_tokens=40)
    code = f"""async (load) => {{
        const model = await load();
        const pieces = [];
        const whole = await model.ask({PROMPT!r}, {{ maxTokens: 40, onText: (piece) => {{ pieces.push(piece); }} }});
        const drawn = [];
        const chances = {{ maxTokens: 20, temperature: 1, topK: 20, topP: 0.9 }};
        for (const seed of [7, 7, 8]) drawn.push((await model.ask({PROMPT!r}, {{ ...chances, seed }})).text);
        const proof = await model.selfTest();
        model.close();
        return {{ whole, pieces, drawn, proof }};
    }}"""
    answer = page.evaluate(CALL, [code])
    assert (answer["whole"]["text"], tuple(answer["whole"]["tokens"]), answer["whole"]["endedBy"]) == (
        wanted.text, wanted.tokens, wanted.ended_by,
    )  # fmt: skip
    assert "".join(answer["pieces"]) == wanted.text and len(answer["pieces"]) > 10
    assert answer["drawn"][0] == answer["drawn"][1] != answer["drawn"][2]
    assert answer["proof"]["ok"] and answer["proof"]["idsEqual"] > 0, answer["proof"]


def test_who_leaves_a_stream_ends_the_writing_and_the_next_text_is_not_disturbed(page, stories_pack):
    wanted = generate(stories_pack, PROMPT, max_tokens=30).text
    code = f"""async (load) => {{
        const model = await load();
        const some = [];
        for await (const piece of model.stream({PROMPT!r}, {{ maxTokens: 200 }})) if (some.push(piece) === 3) break;
        const stopped = await model.ask({PROMPT!r}, {{ maxTokens: 200, onText: () => false }});
        const all = [];
        for await (const piece of model.stream({PROMPT!r}, {{ maxTokens: 30 }})) all.push(piece);
        const refused = [];
        const wrong = [["a", {{ topP: 0 }}], ["a", {{ maxTokens: 0 }}], ["a ".repeat(900), {{}}], [[], {{}}], [5, {{}}]];
        for (const [prompt, settings] of wrong) {{
            refused.push(await model.ask(prompt, settings).then(() => null, ({{ name, problem }}) => [name, problem]));
        }}
        const empty = (await model.ask("", {{ maxTokens: 30 }})).text;
        return {{ some, stopped, all, refused, empty }};
    }}"""
    answer = page.evaluate(CALL, [code])
    assert len(answer["some"]) == 3 and wanted.startswith("".join(answer["some"]))
    assert answer["stopped"]["endedBy"] == "listener" and len(answer["stopped"]["tokens"]) < 100
    assert "".join(answer["all"]) == wanted
    assert answer["empty"] == generate(stories_pack, "", max_tokens=30).text
    assert [name for name, _ in answer["refused"]] == ["BadInput"] * 5
    for (_, problem), says in zip(answer["refused"], ("range", "range", "positions", "no chat template", "must be a string"), strict=True):
        assert says in problem


def test_the_page_writes_piece_by_piece_and_fits(page):
    page.wait_for_selector("#form:not([hidden])")
    page.fill("#text", PROMPT)
    page.click("button[type=submit]")
    page.wait_for_selector("#answer .note")
    assert page.inner_text("#answer .marked").startswith(PROMPT + ", there was")
    page.click("#test")
    page.wait_for_selector("#proof[data-ok=true]", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and page.is_hidden("#second")


WINDOWS = """
import { readFileSync } from "node:fs";
import { findAnswer } from "./src/spans.js";
import { Texts } from "./src/texts.js";
const { tokenizer, length, answers, pairs } = JSON.parse(readFileSync(0));
const texts = new Texts(JSON.parse(readFileSync(tokenizer)), length);
const results = [];
for (const [question, context] of pairs) {
  const seen = [];
  const run = async ({ ids, places, typeIds }) => {
    seen.push({ ids, places, typeIds });
    const value = (id, at, side) => ((id * 7919 + side * 1299709 + at * 104729) % 1000003) / 100000;
    return [0, 1].map((side) => ({ data: Float32Array.from(ids, (id, at) => value(id, at, side)) }));
  };
  const model = { manifest: { answers, max_length: length }, texts, run };
  results.push({ answer: await findAnswer(model, question, context), windows: seen });
}
console.log(JSON.stringify(results));
"""


@pytest.mark.parametrize("kind", ["bert", "bert-cased", "roberta"])
@pytest.mark.parametrize(
    "answers",
    [None, {"longest": 7, "stride": 8, "no_answer": True, "threshold": -2.0}, {"no_answer": True, "threshold": None}],
    ids=["older", "no answer", "no threshold"],
)
def test_windows_places_and_spans_are_those_of_python(writer, tmp_path, kind, answers):
    python, length = device_module(), 48
    spans = importlib.import_module(f"{python.__name__}.spans")
    stride = min((answers or {}).get("stride", 64), length // 4)
    tokenizer = KINDS[kind]()
    tokenizer.enable_truncation(length, stride=stride, strategy="only_second")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = [text for text in parity_texts.nasty_texts(60, seed=11) if text.strip()]
    pairs = [(text[:12], " ".join(texts[index : index + 8])[:500]) for index, text in enumerate(texts)] + [
        ("who?", ""),
        ("where is it", "here"),
        *((text[:12], word) for text in texts[:20] for word in text.split()[:1]),
    ]
    (writer / "windows.mjs").write_text(WINDOWS)
    given = {"tokenizer": str(tmp_path / "tokenizer.json"), "length": length, "answers": answers, "pairs": pairs}
    done = subprocess.run(["node", "windows.mjs"], input=json.dumps(given), cwd=writer, capture_output=True, text=True, check=True)
    loaded = python.texts.Texts(tmp_path, {"max_length": length, "task": "question-answering", "answers": answers})
    several = 0
    for (question, context), result in zip(pairs, json.loads(done.stdout), strict=True):
        windows = loaded.windows(question, context)
        several += len(windows) > 1
        assert [window.ids for window in windows] == [window["ids"] for window in result["windows"]], (question, context)
        offsets = [[None if place is None else list(place) for place in window.offsets] for window in windows]
        assert offsets == [window["places"] for window in result["windows"]], (question, context)

        def run(window):
            at = np.arange(len(window.ids))
            return [((np.array(window.ids) * 7919 + side * 1299709 + at * 104729) % 1000003 / 100000).astype(np.float32) for side in (0, 1)]

        wanted = spans.find_answer(SimpleNamespace(manifest={"answers": answers}, texts=loaded, run=run), question, context)
        answer = result["answer"]
        units = [len(context[:place].encode("utf-16-le")) // 2 for place in (wanted.start, wanted.end)]
        assert (answer["text"], answer["start"], answer["end"]) == (wanted.text, *units)
        assert answer["score"] == pytest.approx(wanted.score, abs=1e-6)
        if answers and answers["threshold"] is None:
            always = SimpleNamespace(manifest={"answers": answers | {"threshold": np.inf}}, texts=loaded, run=run)
            assert spans.find_answer(always, question, context) == wanted
    assert several > 10
