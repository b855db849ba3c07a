"""Every reader of coded weights: they decode to the same bytes, and what is damaged is refused by name, in Java, JavaScript and Python."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import browsers
import pytest
from coded_packs import coded_copy, damaged
from jvm import answers_of, needs_java
from test_android import runtime
from test_web import called

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.targets import Target, transport
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.verify import verify
from edgepack.ship.shipping import ship

TESTS = Path(__file__).parent.parent
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="no node here: apt-get install nodejs")


@pytest.fixture(scope="module")
def packs(pack_folder, tmp_path_factory):
    """One pack, coded for both ways to start."""
    place = tmp_path_factory.mktemp("coded")
    for start in ("stream", "expand"):
        coded_copy(pack_folder, place / start, start=start)
    return place


def decoded_in_node(folders) -> list[dict]:
    script, asked = TESTS / "javascript" / "decode.mjs", json.dumps([str(folder) for folder in folders])
    done = subprocess.run(["node", str(script)], input=asked, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def only_right_weights(answers: list[dict], pack: Path) -> None:
    """Damaged is named, but for a bit that no decoder reads, such as those that fill up a chunk's last byte: the weights are then right."""
    sha256 = read_manifest(pack).coded.sha256
    decoded = [answer for answer in answers if "problem" not in answer]
    assert all(answer["sha256"] == sha256 for answer in decoded) and len(decoded) <= len(answers) // 10


@needs_node
def test_javascript_decodes_the_same_bytes_and_names_a_damaged_chunk(packs, tmp_path):
    shutil.copytree(packs / "stream", tmp_path / "damaged")
    damaged(tmp_path / "damaged")
    whole, broken = decoded_in_node([packs / "stream", tmp_path / "damaged"])
    assert whole == {"sha256": read_manifest(packs / "stream").coded.sha256}
    assert broken["name"] == "Damaged" and broken["problem"].startswith("chunk ") and "weights.coded is damaged" in broken["problem"]


@needs_node
@pytest.mark.slow
def test_javascript_refuses_whatever_was_changed(packs, tmp_path):
    draw, folders = random.Random(0), []
    whole = (packs / "stream" / "weights.coded").read_bytes()
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copyfile(packs / "stream" / "runnable.json", folder / "runnable.json")
        content = bytearray(whole)
        place = draw.randrange(96) if number % 2 else draw.randrange(len(content))
        content[place] ^= draw.randrange(1, 256)
        (folder / "weights.coded").write_bytes(content[: draw.randrange(len(content))] if number % 5 == 0 else content)
        folders.append(folder)
    only_right_weights(decoded_in_node(folders), packs / "stream")


@needs_node
def test_javascript_without_zstd_says_so(pack_folder, tmp_path):
    manifest = coded_copy(pack_folder, tmp_path / "pack", codec="zstd")
    (answer,) = decoded_in_node([tmp_path / "pack"])
    if "sha256" in answer:  # Node.js 22.15 and later have it
        assert answer["sha256"] == manifest.coded.sha256
    else:
        assert "zstd" in answer["problem"] and "--codec deflate" in answer["fix"]


@needs_java
def test_java_decodes_the_same_bytes_streams_or_expands_and_repairs_a_damaged_cache(packs, classes, tmp_path):
    sha256, assets = read_manifest(packs / "stream").coded.sha256, {}
    for start in ("stream", "expand"):
        out = tmp_path / start
        ship(packs / start, "android", out, package="com.example.intents")
        assets[start] = out / "src" / "main" / "assets" / "intents"
    remaining = assets["expand"] / ".weight-cache" / "expanded" / "model.onnx.data"
    asked = [{"folder": str(assets[start])} for start in ("stream", "expand", "expand")]
    assert [result["sha256"] for result in answers_of(classes, "CodedLines", [], asked)] == [sha256] * 3
    assert remaining.is_file() and sorted(path.name for path in remaining.parent.iterdir()) == ["lock", "model.onnx.data"]
    remaining.write_bytes(b"\1" * remaining.stat().st_size)
    assert next(answers_of(classes, "CodedLines", [], asked[1:2]))["sha256"] == sha256
    for folder in assets.values():
        shutil.rmtree(folder / ".weight-cache", ignore_errors=True)
        damaged(folder)
    for result in answers_of(classes, "CodedLines", [], asked[:2]):
        assert result["problem"].startswith("chunk ") and "weights.coded is damaged" in result["problem"]
    assert not remaining.exists()


@needs_java
@pytest.mark.slow
def test_java_refuses_whatever_was_changed(packs, classes, tmp_path):
    ship(packs / "stream", "android", tmp_path / "out", package="com.example.intents")
    assets = tmp_path / "out" / "src" / "main" / "assets" / "intents"
    draw, whole, asked = random.Random(1), (assets / "weights.coded").read_bytes(), []
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copyfile(assets / "module.json", folder / "module.json")
        content = bytearray(whole)
        place = draw.randrange(96) if number % 2 else draw.randrange(len(content))
        content[place] ^= draw.randrange(1, 256)
        (folder / "weights.coded").write_bytes(content[: draw.randrange(1, len(content))] if number % 5 == 0 else content)
        asked.append({"folder": str(folder)})
    only_right_weights(list(answers_of(classes, "CodedLines", [], asked)), packs / "stream")


@needs_java
def test_the_android_module_proves_itself_on_coded_weights(packs, classes, tmp_path):
    ship(packs / "stream", "android", tmp_path / "out", package="com.example.intents")
    assets = tmp_path / "out" / "src" / "main" / "assets" / "intents"
    (tested,) = answers_of(classes, "ModelLines", runtime(assets), [{"op": "self_test"}])
    assert tested["ok"] and tested["ids_equal"] == tested["texts"] > 0


@pytest.mark.parametrize("start", ["stream", "expand"])
@pytest.mark.parametrize("platform", ["python", "linux"])
def test_the_python_and_linux_modules_prove_themselves_on_coded_weights(packs, tmp_path, platform, start, capfd):
    ship(packs / start, platform, tmp_path / "out", name="intents")
    assert "golden texts answered as they were when the pack was built" in capfd.readouterr().err
    model = tmp_path / "out" / "intents" / "model"
    assert (model / "weights.coded").is_file() and not (model / "model.onnx.data").exists() and not (model / ".weight-cache").exists()
    if platform == "linux":
        assert ("CacheDirectory=edgepack-intents" in (tmp_path / "out" / "intents.service").read_text()) is (start == "expand")
    code = "import intents as m; t = m.self_test(threads=1); print(t.ok, t.problem)"
    damaged(model)
    done = subprocess.run(
        [__import__("sys").executable, "-B", "-c", code], cwd=tmp_path / "out", capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("False") and "weights.coded" in done.stdout


@pytest.mark.parametrize("platform", ["android", "jvm", "web"])
def test_a_platform_that_decodes_no_zstd_refuses_it_before_any_work(pack_folder, tmp_path, platform):
    coded_copy(pack_folder, tmp_path / "pack", codec="zstd")
    package = {"name": "intents"} if platform == "web" else {"package": "com.example.intents"}
    with pytest.raises(EdgepackError, match=f"the {platform} module decodes no zstd") as error:
        ship(tmp_path / "pack", platform, tmp_path / "out", **package)
    assert "--codec deflate" in error.value.fix and not (tmp_path / "out").exists()


def test_a_module_with_zstd_asks_pip_for_its_decoder(pack_folder, tmp_path):
    coded_copy(pack_folder, tmp_path / "pack", codec="zstd")
    ship(tmp_path / "pack", "linux", tmp_path / "out", name="intents")
    assert "zstandard==" in (tmp_path / "out" / "requirements.txt").read_text()


def test_verify_runs_both_ways_to_start_and_refuses_a_damaged_pack(packs, tmp_path):
    for start in ("stream", "expand"):
        shutil.copytree(packs / start, tmp_path / start)
        assert verify(tmp_path / start).golden_texts > 0
        damaged(tmp_path / start)
        with pytest.raises(EdgepackError, match=r"weights\.coded"):
            verify(tmp_path / start)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["node://", "browser://chromium"])
def test_a_coded_pack_loads_and_answers_in_javascript(packs, pack_folder, address):
    target = Target(name=address, address=address)
    try:
        transport(target).check(target)
    except EdgepackError as error:
        pytest.skip(error.problem)
    rows = [{"input_ids": [2, 7, 9, 3], "token_type_ids": [0, 0, 0, 0]}]
    outputs = []
    with transport(target).opened(target) as machine:
        for folder in (pack_folder, packs / "stream"):
            manifest = read_manifest(folder)
            machine.push(folder, manifest)
            load = machine.run_job(folder, manifest.plan.runtime, {"kind": "load", "threads": 1, "length": 8, "cold": False})
            assert (load["decode_ms"] is not None) is (folder == packs / "stream")
            job = {"kind": "answer", "threads": 1, "exact": True, "batch": 1, "rows": rows, "at_once": None}
            outputs.append(machine.run_job(folder, manifest.plan.runtime, job)["outputs"])
    assert outputs[0] == outputs[1]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["stream", "expand"])
def test_the_web_module_proves_itself_in_chromium_and_keeps_what_it_decoded(packs, tmp_path, start):
    reason = browsers.missing()
    if reason:
        pytest.skip(reason)
    out = tmp_path / "intents"
    ship(packs / start, "web", out, name="intents")
    failed = browsers.build(out)
    if failed:
        pytest.skip(f"the packages are not to be had: {failed}")
    code = "async (load) => { const model = await load({ threads: 1 }); return { proof: await model.selfTest() }; }"
    with browsers.browser() as chromium, browsers.served(out) as url:
        context, asked = chromium.new_context(), []
        for _ in range(2):
            page = context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.goto(url)
            result = called(page, code)
            assert result["proof"]["ok"], result
            remaining = page.evaluate("async () => (await (await caches.open('edgepack-modules')).keys()).map((key) => key.url)")
            page.close()
            assert any("model.onnx.data?" in name for name in remaining) is (start == "expand")
            assert any("weights.coded?" in name for name in remaining) is (start == "stream")
            downloads, asked[:] = [name for name in asked if "weights.coded?" in name], []
        assert not downloads  # of the second visit
