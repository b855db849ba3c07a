"""weights.coded: what is written is read back, what is damaged is refused by name, and no length in the file is trusted."""

import hashlib
import multiprocessing
import shutil
import struct
import tracemalloc
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.compress.few_values import OnFewValues
from edgepack.pack.coding import CHUNK_BYTES, Part, code_file, parts_between
from edgepack.plan.coded_costs import _CODES
from edgepack.quantize.coarse import counts_of, entropy_bits, few_values_of
from edgepack.ship.load import device_module

CODECS = ("deflate", "zstd")


def reader():
    return import_module(f"{device_module().__name__}.coded")


def opener():
    return import_module(f"{device_module().__name__}.weight_source")


@pytest.fixture(scope="module")
def content():
    """Two matrices of few bits with fp32 scales between them, as a weights file holds them."""
    draw = np.random.default_rng(0)
    first, second = (np.rint(draw.normal(0, 2, count)).astype(np.int8).tobytes() for count in (3 * CHUNK_BYTES + 17, CHUNK_BYTES))
    return first + draw.normal(size=1000).astype(np.float32).tobytes() + second + b"tail"


PLACES = [("first", 0, 3 * CHUNK_BYTES + 17), ("scale", 3 * CHUNK_BYTES + 17, 4000), ("second", 3 * CHUNK_BYTES + 4017, CHUNK_BYTES)]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def coded_folder(folder, content, codec="deflate", start="stream"):
    folder.mkdir(exist_ok=True)
    source = folder / "model.onnx.data"
    source.write_bytes(content)
    stated = code_file(source, parts_between(PLACES, len(content)), codec, start, folder).as_json()
    source.unlink()
    return {"model": "model.onnx", "coded": stated}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("threads", [1, 4])
def test_what_is_coded_is_decoded_to_the_same_bytes_in_far_fewer(content, tmp_path, codec, threads):
    manifest = coded_folder(tmp_path / "pack", content, codec)
    weights = opener().weights_of(tmp_path / "pack", manifest, threads)
    assert bytes(weights.memory["model.onnx.data"]) == content
    assert weights.model == tmp_path / "pack" / "model.onnx" and weights.expanded is None
    assert (tmp_path / "pack" / "weights.coded").stat().st_size < len(content) * 0.45  # about 3 of 8 bits
    assert hashlib.sha256(content).hexdigest() == manifest["coded"]["sha256"]


@pytest.mark.parametrize("codec", CODECS)
def test_scales_that_repeat_take_next_to_nothing(tmp_path, codec):
    scales = np.repeat(np.random.default_rng(0).uniform(0.01, 0.02, 64).astype(np.float32), 2000).tobytes()
    (tmp_path / "model.onnx.data").write_bytes(scales)
    code_file(tmp_path / "model.onnx.data", parts_between([], len(scales)), codec, "stream", tmp_path)
    assert (tmp_path / "weights.coded").stat().st_size < 0.02 * len(scales)


# Few bits are most of all zeros: a Huffman code has a bit for each of them, and fast searches for repeated strings lose by what they find.
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("sigmas", "most"), [(0.5, 1.04), (1.0, 1.07), (2.0, 1.22), (3.0, 1.4)])
def test_weights_of_few_bits_take_little_more_than_their_entropy(tmp_path, codec, sigmas, most):
    values = np.rint(np.random.default_rng(0).normal(size=4 * CHUNK_BYTES) / sigmas).astype(np.int8)
    (tmp_path / "model.onnx.data").write_bytes(values.tobytes())
    code_file(tmp_path / "model.onnx.data", [Part("matrix", len(values))], codec, "stream", tmp_path)
    assert (tmp_path / "weights.coded").stat().st_size * 8 < most * entropy_bits(counts_of(values))


# A weight of two values has a bit. Deflate has a code for the end beside them, so that one of the two takes 2 bits; zstd has none.
@pytest.mark.parametrize(("kind", "codec", "bits"), [(kind, *each) for kind, codes in _CODES.items() for each in codes.items()])
def test_random_weights_of_few_values_take_what_a_plan_predicts(tmp_path, kind, codec, bits):
    weight = torch.randn(512, 1024, generator=torch.Generator().manual_seed(0))
    values = few_values_of(OnFewValues(kind).rounded(weight).numpy()).values
    (tmp_path / "model.onnx.data").write_bytes(values.tobytes())
    code_file(tmp_path / "model.onnx.data", [Part("matrix", values.size)], codec, "stream", tmp_path)
    coded_bits = (tmp_path / "weights.coded").stat().st_size * 8 / values.size
    assert coded_bits == pytest.approx(bits, abs=0.015) and coded_bits > entropy_bits(counts_of(values)) / values.size


def test_parts_are_the_large_matrices_and_what_lies_between_them(content):
    assert parts_between(PLACES, len(content)) == [
        Part("first", 3 * CHUNK_BYTES + 17), Part("rest", 4000), Part("second", CHUNK_BYTES), Part("rest", 4),
    ]  # fmt: skip


def test_a_damaged_chunk_is_refused_by_the_name_of_its_matrix(content, tmp_path):
    manifest = coded_folder(tmp_path / "pack", content)
    path = tmp_path / "pack" / "weights.coded"
    whole = bytearray(path.read_bytes())
    whole[-CHUNK_BYTES // 8] ^= 1
    path.write_bytes(whole)
    with pytest.raises(reader().Damaged, match=r"chunk \d of weights\.coded is damaged: it holds a part of second"):
        opener().weights_of(tmp_path / "pack", manifest, 2)


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (0, b"OTHER...", "no file of coded weights"),
        (8, struct.pack("<H", 2), "has version 2, and this code reads 1"),
        (10, struct.pack("<H", 9), "has the codec 9"),
        (12, struct.pack("<I", 1 << 31), "lengths in its header that cannot be"),
        (16, struct.pack("<Q", 1 << 60), "decodes to another file"),
        (24, struct.pack("<I", 1 << 31), "does not add up"),
        (28, struct.pack("<I", 1 << 31), "lengths in its header that cannot be"),
        (32, b"\0" * 32, "decodes to another file"),
        (100, b"\xff", "the index of weights.coded is damaged"),
    ],
)
def test_a_header_that_states_something_else_is_refused_before_anything_is_decoded(content, tmp_path, place, value, problem):
    manifest = coded_folder(tmp_path / "pack", content)
    path = tmp_path / "pack" / "weights.coded"
    whole = bytearray(path.read_bytes())
    whole[place : place + len(value)] = value
    path.write_bytes(whole)
    with pytest.raises(reader().Damaged, match=problem):
        opener().weights_of(tmp_path / "pack", manifest, 1)


@pytest.mark.parametrize("codec", CODECS)
def test_a_file_that_is_cut_off_anywhere_is_refused(content, tmp_path, codec):
    manifest = coded_folder(tmp_path / "pack", content, codec)
    path = tmp_path / "pack" / "weights.coded"
    whole = path.read_bytes()
    for length in (0, 1, 95, 96, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(reader().Damaged):
            opener().weights_of(tmp_path / "pack", manifest, 1)


# A small file, so that the changes meet the header and the index often, with all hashes of the index made right again.
@settings(max_examples=400)
@given(codec=st.sampled_from(CODECS), changes=st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=9)), max_size=4))
def test_no_changed_file_decodes_to_anything_else_or_takes_more_memory(tmp_path_factory, codec, changes):
    folder = tmp_path_factory.mktemp("fuzzed")
    content = bytes(range(256)) * 40
    plain = folder / "model.onnx.data"
    plain.write_bytes(content)
    stated = code_file(plain, [Part("one", 6000), Part("two", 4240)], codec, "stream", folder).as_json()
    path = folder / "weights.coded"
    whole = bytearray(path.read_bytes())
    for drawn, value in changes:
        place = drawn % len(whole)
        whole[place : place + len(value)] = value[: len(whole) - place]
    index_bytes = struct.unpack_from("<I", whole, 28)[0]
    whole[64:96] = hashlib.sha256(whole[96 : 96 + index_bytes]).digest()  # else the hash refuses everything before it is read
    path.write_bytes(whole)
    tracemalloc.start()
    try:
        result = bytes(opener().weights_of(folder, {"model": "model.onnx", "coded": stated}, 1).memory["model.onnx.data"])
        assert result == content
    except reader().Damaged as error:
        assert "weights.coded" in error.problem and error.fix
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_in_a_chunk_is_not_unpacked(tmp_path, codec, monkeypatch):
    """A chunk that decodes to 512 kB where 100 kB are stated."""
    coding = import_module("edgepack.pack.coding")
    encode = coding._encoder(codec)
    monkeypatch.setattr(coding, "_encoder", lambda _: lambda chunk: encode(bytes(1 << 19)))
    source = tmp_path / "model.onnx.data"
    source.write_bytes(bytes(100_000))
    stated = code_file(source, [Part("zeros", 100_000)], codec, "stream", tmp_path).as_json()
    tracemalloc.start()
    with pytest.raises(reader().Damaged, match="chunk 0"):
        opener().weights_of(tmp_path, {"model": "model.onnx", "coded": stated}, 1)
    assert tracemalloc.get_traced_memory()[1] < 700_000
    tracemalloc.stop()


def test_a_codec_that_this_python_lacks_is_named_with_the_way_out(content, tmp_path, monkeypatch):
    manifest = coded_folder(tmp_path / "pack", content, "zstd")
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    monkeypatch.setitem(__import__("sys").modules, "compression", None)
    with pytest.raises(reader().Damaged, match="zstd") as error:
        opener().weights_of(tmp_path / "pack", manifest, 1)
    assert "--codec deflate" in error.value.fix


def test_expanded_weights_are_decoded_once_checked_at_each_start_and_made_again_where_they_are_damaged(content, tmp_path):
    manifest = coded_folder(tmp_path / "pack", content, start="expand")
    first = opener().weights_of(tmp_path / "pack", manifest, 2, clock=__import__("time").perf_counter)
    path = tmp_path / "pack" / ".weight-cache" / "expanded" / "model.onnx.data"
    assert path.read_bytes() == content and not first.memory and first.decode_ms > 0
    written = path.stat().st_mtime_ns
    again = opener().weights_of(tmp_path / "pack", manifest, 2, clock=__import__("time").perf_counter)
    assert again.decode_ms == 0 and path.stat().st_mtime_ns == written and again.expanded == path.parent
    path.write_bytes(b"\1" + content[1:])
    (path.parent / "model.onnx.data.99999").write_bytes(b"of a process that was killed")
    opener().weights_of(tmp_path / "pack", manifest, 2)
    assert path.read_bytes() == content and names_in(path.parent) == ["lock", "model.onnx.data"]


def test_a_link_in_the_cache_is_never_followed(content, tmp_path):
    manifest = coded_folder(tmp_path / "pack", content, start="expand")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's file")
    place = tmp_path / "pack" / ".weight-cache" / "expanded"
    place.mkdir(parents=True)
    (place / "model.onnx.data").symlink_to(elsewhere)
    opener().weights_of(tmp_path / "pack", manifest, 1)
    assert elsewhere.read_bytes() == b"somebody's file" and (place / "model.onnx.data").read_bytes() == content


def test_weights_of_a_damaged_file_are_not_half_expanded(content, tmp_path):
    manifest = coded_folder(tmp_path / "pack", content, start="expand")
    path = tmp_path / "pack" / "weights.coded"
    path.write_bytes(path.read_bytes()[:-9] + b"123456789")
    with pytest.raises(reader().Damaged):
        opener().weights_of(tmp_path / "pack", manifest, 1)
    assert names_in(tmp_path / "pack" / ".weight-cache" / "expanded") == ["lock"]


def test_too_little_room_to_expand_is_said_before_anything_is_written(content, tmp_path, monkeypatch):
    manifest = coded_folder(tmp_path / "pack", content, start="expand")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(opener().shutil, "disk_usage", lambda _: usage)
    with pytest.raises(reader().Damaged, match="room for 0.0 MB") as error:
        opener().weights_of(tmp_path / "pack", manifest, 1)
    assert "--start stream" in error.value.fix


def test_a_place_that_the_app_names_holds_the_expanded_weights(content, tmp_path):
    manifest = coded_folder(tmp_path / "pack", content, start="expand")
    weights = opener().weights_of(tmp_path / "pack", manifest, 1, place=tmp_path / "of the app")
    assert weights.expanded == tmp_path / "of the app" and not (tmp_path / "pack" / ".weight-cache").exists()


def _expand(folder, manifest, times):
    weights = opener().weights_of(folder, manifest, 1, clock=__import__("time").perf_counter)
    times.put(weights.decode_ms)


def test_of_processes_that_expand_at_once_one_decodes_and_the_others_wait(content, tmp_path):
    manifest = coded_folder(tmp_path / "pack", content, start="expand")
    context = multiprocessing.get_context("fork")
    times = context.Queue()
    processes = [context.Process(target=_expand, args=(tmp_path / "pack", manifest, times)) for _ in range(4)]
    for process in processes:
        process.start()
    result = [times.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(ms == 0 for ms in result) == [False, True, True, True]


@pytest.mark.parametrize("kind", ["expanded", "packed"])
def test_what_the_user_s_cache_keeps_for_a_pack_goes_at_the_next_start_once_the_pack_is_gone(content, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    cache = import_module(f"{device_module().__name__}.weight_cache")

    def start(name):
        """The folders in the user's cache that its start made."""
        pack, shared = tmp_path / name, tmp_path / "cache" / f"edgepack-{kind}"
        manifest = coded_folder(pack, content, start="expand")
        (pack / ".weight-cache").touch()  # so no folder can be made there
        before = set(shared.iterdir()) if shared.exists() else set()
        if kind == "expanded":
            opener().weights_of(pack, manifest, 1)
        else:
            cache.started(lambda files: files.paths[0].write_bytes(b"packed"), pack, manifest | {"weight_cache": True}, "1", ("onnx",))
        return set(shared.iterdir()) - before

    (first,), (second,) = start("first"), start("second")
    somebodys = first.with_name("somebody's")
    somebodys.mkdir()
    (somebodys / "lock").write_bytes((first / "lock").read_bytes())
    assert len(names_in(first)) > 1
    shutil.rmtree(tmp_path / "first")
    (third,) = start("third")
    assert set(first.parent.iterdir()) == {second, third, somebodys} and len(names_in(second)) > 1 and len(names_in(somebodys)) == 1
