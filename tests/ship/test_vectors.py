"""Codes of vectors and the search in them: equal in Python, Java and JavaScript, and to numpy and sentence-transformers."""

import base64
import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jvm import answers_of, needs_java
from module_manifests import whole_manifest

from edgepack.pipeline.vector_stage import codes_of, index_bytes, recall
from edgepack.ship.load import device_module

SCRIPT = Path(__file__).parent.parent / "javascript" / "vectors.mjs"
KINDS = ("int8", "binary")
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="no node here: apt-get install nodejs")


def search():
    from importlib import import_module

    return import_module(f"{device_module().__name__}.search")


def drawn(count, width, seed=0):
    """Vectors on one side of 0, as models give them, some of them twice."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(0.3, 1, (count, width)) * draw.uniform(0.1, 2, width)
    vectors[count // 2] = vectors[0]
    return vectors.astype(np.float32)


def stated(vectors, kind, similarity="cosine"):
    compared = search().unit(vectors) if similarity == "cosine" else vectors
    return {"similarity": similarity, "codes": codes_of(compared, kind)}


def index_of(answers):
    return search().Index(SimpleNamespace(manifest={"answers": answers}))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_those_of_sentence_transformers(kind, similarity):
    quantization = pytest.importorskip("sentence_transformers.util.quantization")
    train, vectors = drawn(200, 44), drawn(300, 44, seed=1) * 1.3  # some beyond the ranges
    answers = stated(train, kind, similarity)
    codes, compared = search().Coder(answers).codes(vectors), search().unit(vectors) if similarity == "cosine" else vectors
    if kind == "int8":
        ranges = np.array([answers["codes"]["low"], answers["codes"]["high"]], np.float32)
        assert np.array_equal(codes, quantization.quantize_embeddings(compared, "int8", ranges=ranges))
    else:
        apart = compared - np.array(answers["codes"]["thresholds"], np.float32)
        assert np.array_equal(codes, quantization.quantize_embeddings(apart, "ubinary"))


def plain_scores(answers, query, levels):
    """By what each code stands for, in doubles, without whole numbers."""
    low, high = (np.array(answers["codes"][name], np.float32).astype(float) for name in ("low", "high"))
    if answers["codes"]["kind"] == "int8":
        steps = np.where(high == low, 1, (high - low) / 255)
        return (low + (levels.astype(float) + 128.5) * steps) @ query.astype(float)
    rows = np.where(levels == 1, high, low)
    lengths = np.linalg.norm(rows, axis=1)
    return rows @ query.astype(float) / np.where(lengths > 1e-9, lengths, 1)


@settings(max_examples=60)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(0, 99), st.sampled_from(KINDS), st.sampled_from([0, 1, 4]))
def test_a_search_is_what_plain_numpy_gives(width, count, seed, kind, rescore):
    vectors, queries = drawn(count, width, seed), drawn(5, width, seed + 1)
    answers = stated(vectors, kind)
    coder, index = search().Coder(answers), index_of(answers)
    assert index.add(vectors[:1]) == 0 and index.add(vectors[1:]) == 1 and len(index) == count
    codes = coder.codes(vectors)
    for query in queries:
        hits = index.search(query, 3, rescore)
        levels = np.unpackbits(codes, axis=1)[:, :width] if kind == "binary" else codes
        scores = plain_scores(answers, search().unit(query), levels)
        places = list(range(count))
        if kind == "binary":
            asked = np.unpackbits(coder.codes(query))
            distances = [int((np.unpackbits(row) != asked).sum()) for row in codes]
            places = sorted(sorted(places, key=lambda place: (distances[place], place))[: 3 * max(1, rescore)])
        if kind == "binary" and not rescore:
            wanted = [(place, 1 - 2 * distances[place] / width) for place in sorted(places, key=lambda place: (distances[place], place))]
        else:
            near = [abs(hit.score - scores[hit.place]) < 1e-6 for hit in hits]
            best = sorted((scores[place] for place in places), reverse=True)[: len(hits)]
            assert len(hits) == min(3, count) and all(near) and np.allclose([hit.score for hit in hits], best, atol=1e-6)
            assert [hit.place for hit in hits] == [hit.place for hit in sorted(hits, key=lambda hit: (-hit.score, hit.place))]
            continue
        assert [(hit.place, hit.score) for hit in hits] == wanted


@pytest.mark.parametrize("width", [1, 8, 100, 384])
@pytest.mark.parametrize("kind", KINDS)
def test_the_report_s_bytes_of_a_text_are_those_of_an_index(kind, width):
    index = index_of(stated(drawn(30, width), kind))
    empty = len(index.to_bytes())
    index.add(drawn(1, width))
    assert index_bytes(width, kind) == len(index.to_bytes()) - empty


def test_scores_are_about_the_cosines_that_they_stand_for():
    vectors = drawn(400, 256)
    wide = search().unit(vectors).astype(float)
    for kind, most in (("int8", 0.005), ("binary", 0.05)):
        index = index_of(stated(vectors, kind))
        index.add(vectors)
        gaps = [abs(hit.score - wide[7] @ wide[hit.place]) for hit in index.search(vectors[7], 400, 100)]
        assert len(gaps) == 400 and np.median(gaps) < most


def test_rescoring_finds_what_hamming_distance_alone_does_not_and_8_bits_nearly_all():
    draw = np.random.default_rng(0)
    vectors = (draw.normal(size=(600, 16)) @ draw.normal(size=(16, 192)) + 0.5).astype(np.float32)
    binary, whole = (recall(search().unit(vectors), stated(vectors, kind)) for kind in ("binary", "int8"))
    assert binary["recall_at_10"] > binary["recall_at_10_by_hamming"] + 0.03
    assert whole["recall_at_10"] > 0.95 and whole["searched_texts"] == 600
    assert recall(vectors[:19], stated(vectors, "int8")) == {}


def questions():
    """Both kinds and both ways to compare, widths that fill no byte or word, equal vectors, a vector of zeros, all ways to order."""
    for number, (width, kind, similarity, rescore) in enumerate(
        [(5, "int8", "cosine", 4), (5, "binary", "dot", 4), (64, "binary", "cosine", 0), (100, "binary", "cosine", 4),
         (384, "binary", "cosine", 4), (384, "int8", "dot", 1), (72, "int8", "cosine", 0), (1, "binary", "cosine", 2)]
    ):  # fmt: skip
        vectors = drawn(60, width, seed=number)
        vectors[3] = 0
        yield stated(vectors[10:], kind, similarity), vectors, drawn(6, width, seed=100 + number), 7, rescore


def python_answers(asked):
    for answers, vectors, queries, count, rescore in asked:
        index = index_of(answers)
        index.add(vectors)
        hits = [[[hit.place, hit.score] for hit in index.search(query, count, rescore)] for query in queries]
        codes = search().Coder(answers).codes(vectors)
        yield {"codes": codes.tolist(), "hits": hits, "saved": base64.b64encode(index.to_bytes()).decode()}


def as_asked(asked, saved=None):
    return [
        {"answers": answers, "vectors": vectors.tolist(), "queries": queries.tolist(), "count": count, "rescore": rescore}
        | ({"saved": saved} if saved else {})
        for answers, vectors, queries, count, rescore in asked
    ]


def in_node(asked):
    done = subprocess.run(["node", str(SCRIPT)], input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def in_java(classes, asked):
    manifest = whole_manifest("feature-extraction")
    lines = [{**each, "manifest": json.dumps(manifest | {"answers": each["answers"]})} for each in asked]
    return list(answers_of(classes, "VectorLines", [], lines))


@needs_node
def test_javascript_gives_the_same_codes_places_scores_and_bytes():
    assert in_node(as_asked(questions())) == list(python_answers(questions()))


@needs_java
def test_java_gives_the_same_codes_places_scores_and_bytes(classes):
    assert in_java(classes, as_asked(questions())) == list(python_answers(questions()))


def turned(content, place):
    """One bit is another."""
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def test_bits_behind_the_last_dimension_of_a_restored_code_end_no_search(classes):
    vectors = drawn(30, 20)
    answers = stated(vectors, "binary")
    index = index_of(answers)
    index.add(vectors[:10])
    codes = index.codes.copy()
    codes[3] = ~search().Coder(answers).codes(vectors[25])  # 24 bits differ from the query's, of 20 dimensions
    head = index.to_bytes()[:20] + struct.pack("<I", zlib.crc32(codes.tobytes())) + index.to_bytes()[24:40]
    asked = [(answers, vectors[10:12], vectors[25:26], 12, 0)]
    index.restore(head + codes.tobytes()).add(vectors[10:12])
    wanted = [[hit.place, hit.score] for hit in index.search(vectors[25], 12, 0)]
    assert wanted[-1] == [3, 1 - 2 * 24 / 20]
    for ask in ([in_node] if shutil.which("node") else []) + ([lambda rows: in_java(classes, rows)] if shutil.which("javac") else []):
        assert ask(as_asked(asked, base64.b64encode(head + codes.tobytes()).decode()))[0]["hits"] == [wanted]


def test_a_vector_that_holds_infinity_is_refused_on_all_platforms(classes):
    vectors = drawn(30, 20)
    endless = vectors[:1].astype(float)
    endless[0, 7] = 1e39  # over what 32 bits hold
    asked = [(stated(vectors, "int8"), endless, vectors[:1], 5, 4)]
    for ask in ([in_node] if shutil.which("node") else []) + ([lambda rows: in_java(classes, rows)] if shutil.which("javac") else []):
        assert "number" in ask(as_asked(asked))[0]["problem"]


def test_an_index_that_cannot_be_saved_leaves_no_half_file(tmp_path):
    (tmp_path / "texts.index").mkdir()
    with pytest.raises(OSError):
        index_of(stated(drawn(30, 20), "int8")).save(tmp_path / "texts.index")
    assert [path.name for path in tmp_path.iterdir()] == ["texts.index"]


@needs_node
@pytest.mark.parametrize("kind", KINDS)
def test_javascript_restores_an_index_from_a_pooled_buffer_or_an_array_buffer_and_refuses_what_is_no_bytes(kind):
    vectors = drawn(30, 20)
    asked, index = [(stated(vectors, kind), vectors[20:], vectors[25:26], 5, 4)], index_of(stated(vectors, kind))
    index.add(vectors[:20])
    saved = base64.b64encode(index.to_bytes()).decode()
    index.add(vectors[20:])
    wanted = [[hit.place, hit.score] for hit in index.search(vectors[25], 5)]
    for given_as in ("Buffer", "ArrayBuffer"):
        (answer,) = in_node([each | {"as": given_as} for each in as_asked(asked, saved)])
        assert answer["hits"] == [wanted] and base64.b64decode(answer["saved"]) == index.to_bytes()
    assert "no index" in in_node([each | {"as": "text"} for each in as_asked(asked, saved)])[0]["problem"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_one_platform_saved_goes_on_in_the_others_and_another_model_s_is_refused(kind, classes, tmp_path):
    vectors = drawn(30, 20)
    answers = stated(vectors, kind)
    first = index_of(answers)
    first.add(vectors[:20])
    first.save(tmp_path / "texts.index")
    saved = base64.b64encode(first.to_bytes()).decode()
    whole = index_of(answers).restore(tmp_path / "texts.index")
    whole.add(vectors[20:])
    wanted = [[hit.place, hit.score] for hit in whole.search(vectors[25], 5)]
    asked = [(answers, vectors[20:], vectors[25:26], 5, 4)]
    other = [(stated(drawn(30, 20, seed=5), kind), vectors[20:], vectors[25:26], 5, 4)]
    for ask in ([in_node] if shutil.which("node") else []) + ([lambda rows: in_java(classes, rows)] if shutil.which("javac") else []):
        (answer,) = ask(as_asked(asked, saved))
        assert answer["hits"] == [wanted] and base64.b64decode(answer["saved"]) == whole.to_bytes()
        assert "another model" in ask(as_asked(other, saved))[0]["problem"]
        assert "damaged" in ask(as_asked(asked, base64.b64encode(turned(first.to_bytes(), -1)).decode()))[0]["problem"]
        assert "not whole" in ask(as_asked(asked, base64.b64encode(first.to_bytes()[:-1]).decode()))[0]["problem"]
        assert "no index" in ask(as_asked(asked, base64.b64encode(b"x" * 50).decode()))[0]["problem"]
    for content, says in (
        (first.to_bytes()[:-1], "not whole"), (b"", "no index"), (b"x" * 50, "no index"), (turned(first.to_bytes(), 45), "damaged"),
    ):  # fmt: skip
        with pytest.raises(device_module().BadInput, match=says):
            index_of(answers).restore(content)
    with pytest.raises(device_module().BadInput, match="another model"):
        index_of(other[0][0]).restore(first.to_bytes())


def test_what_no_search_can_take_is_refused():
    index = index_of(stated(drawn(30, 20), "binary"))
    bad = device_module().BadInput
    with pytest.raises(bad, match="20 numbers"):
        index.add(np.zeros(19, np.float32))
    with pytest.raises(bad, match="no number"):
        index.add(np.full(20, np.nan, np.float32))
    with pytest.raises(bad, match="one vector"):
        index.search(np.zeros((2, 20), np.float32))
    for count, rescore in ((0, 4), (2.5, 4), ("3", 4), (None, 4), (True, 4), (3, -1), (3, 0.5), (3, None), (3, False)):
        with pytest.raises(bad, match="count is less"):
            index.search(np.zeros(20, np.float32), count, rescore)
    assert index.search(np.zeros(20, np.float32), np.int64(3), np.int32(1)) == ()
    with pytest.raises(bad, match="--vectors"):
        search().Index(SimpleNamespace(manifest={"answers": None}))
    assert index.search(np.zeros(20, np.float32)) == () and len(index) == 0
