"""edgepack.load runs the device's own code: its answers are the decisions that the pack was measured by, typed and with places."""

import importlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import make_model

import edgepack
from edgepack.measure.answers import answer
from edgepack.pack.manifest import MANIFEST_FILE, read_manifest, seal
from edgepack.ship.load import device_module
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.tag_schemes import spans_of

TEXTS = ["turn on the light", "play some jazz in the kitchen", "CALL Zoë — now!", "set the heat to 21 degrees", "", "[MASK] \x00 👍🏽"]
MODULE = device_module()
TASKS_OF_MODULE = importlib.import_module(MODULE.__name__ + ".tasks")


@pytest.fixture(scope="module")
def model(pack_folder):
    with edgepack.load(pack_folder) as result:
        yield result


def measured(pack, rows, tokenizer=None):
    """Features and outputs of rows as edgepack itself makes and measures them."""
    from transformers import AutoTokenizer

    manifest = read_manifest(pack)
    task = task_named(manifest.task)
    features = task.encode(AutoTokenizer.from_pretrained(pack), rows, manifest.max_length)
    outputs = answer(pack, manifest.plan.runtime, features, 1, manifest.plan.exact_products)
    return features, outputs, task.decide(outputs, features, rows), manifest


def test_labels_are_edgepacks_decisions_with_the_softmax_of_its_outputs(model, pack_folder):
    rows = [Row("here", text=text) for text in [*TEXTS, "light " * 300]]
    features, outputs, decisions, manifest = measured(pack_folder, rows)
    for row, item, output, decided in zip(rows, features, outputs, decisions, strict=True):
        result = model(row.text)
        assert model.texts.text(row.text).ids == item.ids
        assert result.label == manifest.labels[str(decided)] == result.scores[0].name
        expected = np.exp(output) / np.exp(output).sum()
        assert {each.name: each.score for each in result.scores} == pytest.approx(
            {manifest.labels[str(index)]: value for index, value in enumerate(expected)}, abs=1e-3
        )
        assert result.cut is (row.text.count("light") == 300) and sum(each.score for each in result.scores) == pytest.approx(1)


def test_a_pair_is_read_as_the_teacher_reads_it(model, pack_folder):
    rows = [Row("here", text="turn on", text_pair="the light"), Row("here", text="light " * 90, text_pair="music " * 200)]
    features, _, decisions, manifest = measured(pack_folder, rows)
    for row, item, decided in zip(rows, features, decisions, strict=True):
        encoded = model.texts.text(row.text, row.text_pair)
        assert (encoded.ids, encoded.type_ids) == (item.ids, item.type_ids)
        assert model(row.text, row.text_pair).label == manifest.labels[str(decided)]
    assert model(rows[1].text, rows[1].text_pair).cut


@pytest.mark.parametrize("wrong", [None, 5, 2.5, b"light", ["light"], {"text": "light"}, True])
def test_anything_but_text_is_refused_at_once(model, wrong):
    with pytest.raises(TypeError, match="text must be str, not"):
        model(wrong)


def test_a_lone_surrogate_is_no_text(model):
    with pytest.raises(ValueError, match="half a character at 2"):
        model("ab\ud800")


def test_threads_share_a_model(model):
    alone = [model(text) for text in TEXTS]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(model, TEXTS * 10)) == alone * 10


def test_a_closed_model_refuses_and_closes_again(pack_folder):
    model = edgepack.load(pack_folder, threads=1)
    model.close()
    model.close()
    with pytest.raises(MODULE.Closed, match="the model is closed"):
        model("light")
    with pytest.raises(MODULE.ModuleError, match="writes no text"):
        model.stream("light")


def test_a_changed_pack_is_not_loaded(pack_folder, tmp_path):
    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    with (copy / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(edgepack.EdgepackError, match=r"tokenizer.json in .* was changed"):
        edgepack.load(copy)
    assert not MODULE.self_test(copy, manifest_file=MANIFEST_FILE).ok


def test_a_file_that_the_runtime_does_not_open_is_refused_in_words(pack_folder, tmp_path):
    """A stranger can seal anything."""
    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    path = copy / "model.onnx"
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"MatMux"))
    seal(copy, read_manifest(copy))
    with pytest.raises(edgepack.EdgepackError, match="the runtime does not open the model: "):
        edgepack.load(copy)
    assert "does not open" in MODULE.self_test(copy, manifest_file=MANIFEST_FILE).problem


def test_a_text_with_an_id_that_the_model_has_no_row_for_is_refused_in_words(pack_folder, tmp_path):
    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {piece: index + 10**6 for piece, index in tokenizer["model"]["vocab"].items()}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    seal(copy, read_manifest(copy))
    with edgepack.load(copy) as model, pytest.raises(MODULE.ModuleError, match="makes token 1000[0-9]+ of this text, and the model knows"):
        model("light")


_TAGS = ["O", *(f"{mark}-{kind}" for mark in "BIESLU" for kind in ("PER", "LOC"))]


@pytest.mark.parametrize(("scheme", "marks"), [("iob1", "BI"), ("iob2", "BI"), ("bioes", "BIES"), ("bilou", "BILU")])
@given(tags=st.lists(st.sampled_from(_TAGS), max_size=12))
def test_spans_of_tags_are_edgepacks(scheme, marks, tags):
    tags = [tag if tag == "O" or tag[0] in marks else "O" for tag in tags]
    module = TASKS_OF_MODULE.entities.__globals__
    units = [module["Unit"](at, at + 1, np.eye(len(_TAGS))[_TAGS.index(tag)]) for at, tag in enumerate(tags)]
    result = module["entities"](units, _TAGS, {"strategy": "simple", "scheme": scheme, "ignore": ["O"]})
    assert {(start, end, kind) for kind, start, end, _ in result} == spans_of(tags, scheme)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n\u00a0\u3000 ", []),
        ("Rais Samia alikwenda Nairobi, Kenya (jana).", ["Rais", "Samia", "alikwenda", "Nairobi", ",", "Kenya", "(", "jana", ")", "."]),
        ("don't U.S. «naïve» 3.5% …", ["don't", "U.S", ".", "«", "naïve", "»", "3.5", "%", "…"]),
        ("ọjọ́ e\u0301 👍🏽 x", ["ọjọ́", "e\u0301", "👍", "🏽", "x"]),
        ("--", ["-", "-"]),
        ("a a a", ["a", "a", "a"]),
    ],
)
def test_words_are_split_as_tagged_corpora_split_them(text, words):
    spans = MODULE.texts.split_words(text)
    assert [text[start:end] for start, end in spans] == words


def test_a_decoder_streams_what_edgepack_generates(stories_pack):
    expected = edgepack.generate(stories_pack, "Once upon a time", max_tokens=40)
    with edgepack.load(stories_pack) as model:
        pieces = [piece.text for piece in model.stream("Once upon a time", max_tokens=40)]
        result = model("Once upon a time", max_tokens=40)
        assert "".join(pieces) == result.text == expected.text and len(pieces) > 10
        assert (result.tokens, result.ended_by, result.prompt_tokens) == (expected.tokens, expected.ended_by, expected.prompt_tokens)
        drawn = {"max_tokens": 20, "temperature": 0.8, "top_k": 20, "top_p": 0.9, "seed": 7}
        assert model("Once", **drawn).text == edgepack.generate(stories_pack, "Once", **drawn).text
        with ThreadPoolExecutor(4) as pool:  # each text has a cache of its own
            many = list(pool.map(lambda _: model("Once upon a time", max_tokens=40).text, range(8)))
        assert set(many) == {expected.text}
        assert model("Once upon a time", max_tokens=400, seconds=0.0).ended_by == "seconds"
        for prompt in ("", " "):  # as transformers' pipeline: the first has no tokens, and begins with the model's start token
            assert model(prompt, max_tokens=8).text == edgepack.generate(stories_pack, prompt, max_tokens=8).text != ""
        with pytest.raises(MODULE.BadInput, match="the prompt has"):
            model("the cat " * 400)
        with pytest.raises(MODULE.BadInput, match="settings out of range"):
            model("Once", max_tokens=0)


def test_a_decoder_proves_itself(stories_pack):
    manifest = read_manifest(stories_pack)
    result = MODULE.self_test(stories_pack, manifest_file=MANIFEST_FILE, exact=manifest.plan.exact_products)
    assert result.ok and result.texts > 0, result


TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def _write_rows(folder, task) -> None:
    folder.mkdir(parents=True)
    match task:
        case "token-classification":
            block = "turn O\nAsha B-PER\nBell I-PER\nin O\nRome B-LOC\n. O\n"
            for split in ("train", "dev", "test"):
                (folder / f"{split}.conll").write_text("\n".join([block] * 20))
        case "question-answering":
            context = "turn on the light in the kitchen and play music "
            asked = {"id": "1", "question": "what to turn on", "answers": [{"text": "light", "answer_start": 12}]}
            parts = [{"context": context * (1 + index % 8), "qas": [asked | {"id": str(index)}]} for index in range(12)]
            for split in ("dev", "test"):
                content = {"version": "1", "data": [{"title": "t", "paragraphs": parts}]}
                (folder / f"{split}.json").write_text(json.dumps(content))
        case _:
            (folder / "test.jsonl").write_text("\n".join(json.dumps({"text": f"turn on light {index}"}) for index in range(30)))


@pytest.fixture(scope="module")
def pack_of(tmp_path_factory, cache):
    """pack_of(task): a pack of a tiny random model in fp32."""
    from edgepack.pipeline.build import build
    from edgepack.plan.profile import load_profile
    from edgepack.plan.recipe import Recipe

    def output(task):
        folder = tmp_path_factory.mktemp(task)
        make_model(folder / "model", task=task, **({"labels": TAGS} if task == "token-classification" else {}))
        _write_rows(folder / "data", task)
        given = {"model": str(folder / "model"), "data": str(folder / "data"), "task": task}
        recipe = Recipe(**given, precision="fp32", student="same", prune_heads=0.0)
        build(recipe, load_profile("raspberry-pi"), folder / "pack", cache, None)
        return folder / "pack"

    return output


@pytest.mark.slow
def test_entities_are_edgepacks_with_their_places(pack_of):
    pack = pack_of("token-classification")
    texts = ["turn on Asha Bell, in Rome.", "Nairobi (kitchen) light", "", "light " * 200, "call [MASK] Zoë"]
    with edgepack.load(pack) as model:
        assert MODULE.self_test(pack, manifest_file=MANIFEST_FILE).ok
        model.manifest["answers"]["words"] = "white-space"  # as the data's words are
        rows = [Row("here", words=tuple(text[a:b] for a, b in MODULE.texts.split_words(text))) for text in texts if text]
        features, _, decisions, manifest = measured(pack, rows)
        for text, row, item, tags in zip([text for text in texts if text], rows, features, decisions, strict=True):
            assert model.texts.words(row.words).ids == item.ids
            result = model(text)
            expected = spans_of([manifest.labels.get(str(tag), "O") for tag in tags])
            spans = MODULE.texts.split_words(text)
            assert {(each.start, each.end, each.kind) for each in result.entities} == {
                (spans[a][0], spans[b - 1][1], k) for a, b, k in expected
            }
            assert all(text[each.start : each.end] == each.text and 0 < each.score <= 1 for each in result.entities)
            assert result.cut is (text.count("light") == 200)
            by_words = model(list(row.words))
            assert [(each.kind, each.score) for each in by_words.entities] == [(each.kind, each.score) for each in result.entities]
        assert model("").entities == () and model([]).entities == ()
        with pytest.raises(TypeError, match="a word must be str"):
            model(["light", 5])


@pytest.mark.slow
def test_answers_are_edgepacks_over_all_windows(pack_of):
    pack = pack_of("question-answering")
    context = "turn on the light in the kitchen and play some jazz "
    rows = [Row("here", text="what to turn on", context=context * count) for count in (1, 3, 20)]
    _, _, decisions, _ = measured(pack, rows)
    with edgepack.load(pack) as model:
        assert MODULE.self_test(pack, manifest_file=MANIFEST_FILE).ok
        assert len(model.texts.windows(rows[2].text, rows[2].context)) > 2
        for row, decided in zip(rows, decisions, strict=True):
            result = model(row.text, row.context)
            assert result.text == decided == row.context[result.start : result.end]
            assert 0 < result.score <= 1 and result.cut is False
        assert model("what", "").text == ""
        with pytest.raises(MODULE.BadInput, match="no room for the context"):
            model("light " * 300, "light")


@pytest.mark.slow
def test_vectors_are_edgepacks(pack_of):
    pack = pack_of("feature-extraction")
    rows = [Row("here", text=text) for text in [*TEXTS, "light " * 300]]
    _, outputs, _, _ = measured(pack, rows)
    with edgepack.load(pack) as model:
        assert MODULE.self_test(pack, manifest_file=MANIFEST_FILE).ok
        for row, output in zip(rows, outputs, strict=True):
            result = model(row.text)
            assert np.allclose(result.values, output, atol=1e-5) and result.values.dtype == np.float32
            assert result.cut is (row.text.count("light") == 300)
