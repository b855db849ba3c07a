"""The Android module: shipped, compiled, answering on a JVM as the Python module does, refusing what is not what was shipped."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from jvm import JAVA, answers_of, ask, needs_java, write_characters
from module_manifests import listed_files, whole_manifest
from parity_texts import nasty_texts
from stated_answers import BIOES, LABEL_ANSWERS, TAG_ANSWERS, tag_answers
from tokenizer_kinds import KINDS

from edgepack.core.errors import EdgepackError
from edgepack.ship.generate import generate
from edgepack.ship.jvm.sources import STUBS, class_prefix, classes_jar, write_sources
from edgepack.ship.load import device_module
from edgepack.ship.shipping import ship

RUNTIME = Path(__file__).parent.with_name("java_runtime.py")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TASKS = {
    "text-classification": (("logits",), ("yes", "no", "perhaps")),
    "token-classification": (("logits",), TAGS),
    "question-answering": (("start_logits", "end_logits"), ()),
    "feature-extraction": (("sentence_embedding",), ()),
}
TEXTS = [
    "Ada Lovelace (London, 1815) lived there.", "  «Ọjọ́» — in Èkó!  ",
    "👍🏽 Zürich\u00a0👩‍🚀 𝔘𝔫𝔦 ", "", " \u3000 ", "a\u200bb...", "\x1cnaïve\x1f", "x" * 700, "word " * 200,
]  # fmt: skip


def made_up(folder: Path, task: str, kind: str = "bert", model: bytes = b"none", **more: object) -> Path:
    """A module's folder for a model whose outputs are made up; its tokenizer is real."""
    folder.mkdir()
    tokenizer = KINDS[kind]()
    tokenizer.enable_truncation(64)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_characters(folder / "tokenizer.json", folder)
    (folder / "model.onnx").write_bytes(model)
    outputs, labels = TASKS[task]
    whole = {key: value for key, value in whole_manifest(task).items() if key not in ("answers", "coded", "expires")}
    manifest = whole | {
        "inputs": ["input_ids"], "outputs": outputs, "pad_id": 0, "max_length": 64, "stop_ids": [], "buckets": [],
        "per_token": task in ("token-classification", "question-answering"), "files": listed_files(folder),
        "labels": {str(index): name for index, name in enumerate(labels)},
    } | more  # fmt: skip
    (folder / "module.json").write_text(json.dumps(manifest))
    return folder


class MadeUp:
    """What ModelLines.MadeUp answers."""

    def __init__(self, manifest: dict) -> None:
        self.outputs, self.per_token = len(manifest["outputs"]), manifest["per_token"]
        self.width = 1 if self.outputs > 1 else max(1, len(manifest["labels"]))

    def run(self, ids: list[int], _: object) -> list[np.ndarray]:
        rows = np.arange(len(ids) if self.per_token else 1)[:, None]
        tokens = np.array(ids)[rows]
        columns = np.arange(self.width)
        sums = [tokens * 7919 + (columns + output) * 1299709 + rows * 104729 for output in range(self.outputs)]
        result = [(each % 1000003).astype(np.float32) / np.float32(100000) for each in sums]
        shaped = [each[:, 0] if self.outputs > 1 else each for each in result]
        return shaped if self.per_token else [each[0] for each in result]


def python_model(folder: Path) -> object:
    code = device_module()
    manifest = json.loads((folder / "module.json").read_text())
    return code.model.Model(folder, manifest, code.texts.Texts(folder, manifest), MadeUp(manifest))


def utf16(text: str, place: int) -> int:
    return len(text[:place].encode("utf-16-le")) // 2


def close(each: float, two: float) -> bool:
    return abs(each - two) < 1e-5


@pytest.mark.slow
@needs_java
@pytest.mark.parametrize("answers", [None, *LABEL_ANSWERS], ids=["an older pack", "several labels", "numbers"])
def test_labels_are_those_of_the_python_module(classes, tmp_path, answers):
    folder = made_up(tmp_path / "model", "text-classification", answers=answers)
    model, texts = python_model(folder), [*TEXTS, *nasty_texts(150, seed=4)]
    pairs = [(text, None) for text in texts] + list(zip(texts, reversed(texts), strict=True))
    questions = [{"op": "classify", "text": text, "pair": pair} for text, pair in pairs]
    for (text, pair), result in zip(pairs, answers_of(classes, "ModelLines", [str(folder)], questions), strict=True):
        wanted = model(text, pair)
        assert (result["label"], result["cut"]) == (wanted.label, wanted.cut)
        assert result["chosen"] == list(wanted.chosen)
        assert [name for name, _ in result["scores"]] == [each.name for each in wanted.scores]
        assert all(close(score, each.score) for (_, score), each in zip(result["scores"], wanted.scores, strict=True))


@needs_java
@pytest.mark.parametrize("stated", [None, *TAG_ANSWERS], ids=str)
def test_entities_and_their_places_are_those_of_the_python_module(classes, tmp_path, stated):
    kind, more = stated[3] if stated else "bert", {"answers": tag_answers(*stated)} if stated else {}
    more |= {"labels": BIOES} if stated and stated[1] == "bioes" else {}
    folder = made_up(tmp_path / "model", "token-classification", kind, **more)
    model, texts = python_model(folder), [*TEXTS, *nasty_texts(150, seed=5)]
    words = [text.split() for text in texts]
    questions = [{"op": "entities", "text": text} for text in texts] + [{"op": "entities", "words": some} for some in words]
    asked = texts + words
    for text, result in zip(asked, answers_of(classes, "ModelLines", [str(folder)], questions), strict=True):
        wanted, whole = model(text), text if isinstance(text, str) else " ".join(text)
        assert result["cut"] == wanted.cut
        rows = [(each.kind, each.text, utf16(whole, each.start), utf16(whole, each.end), each.score) for each in wanted.entities]
        assert [tuple(each[:4]) for each in result["entities"]] == [row[:4] for row in rows]
        assert all(close(each[4], row[4]) for each, row in zip(result["entities"], rows, strict=True))


@pytest.mark.slow
@needs_java
def test_an_older_pack_that_states_no_threshold_always_answers_on_the_jvm_as_in_python(classes, tmp_path):
    folder = made_up(tmp_path / "older", "question-answering", answers={"no_answer": True, "threshold": None})
    signs = sorted({sign for text in nasty_texts(300, seed=6) for sign in text if not sign.isspace()})
    pairs = [("who " * count, sign) for count in range(1, 9) for sign in signs]
    questions = [{"op": "answer", "question": question, "context": context} for question, context in pairs]
    of_java = [result["text"] for result in answers_of(classes, "ModelLines", [str(folder)], questions)]

    def of_python(threshold: float | None) -> list[str]:
        model = python_model(folder)
        model.manifest["answers"]["threshold"] = threshold
        return [model(question, context).text for question, context in pairs]

    assert of_java == of_python(None) == of_python(np.inf) != of_python(0.0)


@needs_java
def test_answers_and_vectors_are_those_of_the_python_module(classes, tmp_path):
    folder = made_up(tmp_path / "answers", "question-answering")
    model, texts = python_model(folder), nasty_texts(120, seed=6)
    pairs = [(text[:12], " ".join(texts[index : index + 6])[:600]) for index, text in enumerate(texts)] + [("who?", ""), ("", "")]
    questions = [{"op": "answer", "question": question, "context": context} for question, context in pairs]
    for (question, context), result in zip(pairs, answers_of(classes, "ModelLines", [str(folder)], questions), strict=True):
        wanted = model(question, context)
        assert (result["text"], result["start"], result["end"]) == (wanted.text, utf16(context, wanted.start), utf16(context, wanted.end))
        assert close(result["score"], wanted.score) and not result["cut"]
    (refused,) = answers_of(classes, "ModelLines", [str(folder)], [{"op": "answer", "question": "word " * 80, "context": "long " * 90}])
    assert refused["error"] == "IllegalArgumentException" and "too few" in refused["message"]
    folder = made_up(tmp_path / "vectors", "feature-extraction")
    model = python_model(folder)
    for text, result in zip(
        TEXTS, answers_of(classes, "ModelLines", [str(folder)], [{"op": "embed", "text": text} for text in TEXTS]), strict=True
    ):
        assert result == {"values": pytest.approx(model(text).values.tolist()), "cut": model(text).cut, "weights": None}


@needs_java
def test_litert_pads_to_the_shortest_length_that_holds_a_text_and_cuts_outputs_back(classes, tmp_path):
    """Over a made-up interpreter: Android's own does not run here."""
    texts = [text for text in TEXTS if text.strip()] + nasty_texts(60, seed=8)
    for task, ask_for, width in (("text-classification", "classify", 3), ("token-classification", "entities", len(TAGS))):
        plain = made_up(tmp_path / f"{task}-plain", task)
        model = f"{width} {str(task == 'token-classification').lower()} 7\n".encode()
        padded = made_up(tmp_path / task, task, model=model, inputs=["input_ids", "attention_mask"], buckets=[8, 16, 64], pad_id=7)
        questions = [{"op": ask_for, "text": text} for text in texts]
        wanted = list(answers_of(classes, "ModelLines", [str(plain)], questions))
        assert not any("error" in each for each in wanted)
        assert list(answers_of(classes, "ModelLines", [str(padded), "litert"], questions)) == wanted


@needs_java
def test_bad_input_and_closed_models_have_errors_of_their_own(classes, tmp_path):
    folder = made_up(tmp_path / "model", "text-classification")
    questions = [
        {"op": "classify"}, {"op": "classify", "units": [104, 0xD83D]}, {"op": "embed", "text": "other task"},
        {"op": "together", "text": "turn on the light", "threads": 8}, {"op": "close"}, {"op": "close"}, {"op": "classify", "text": "late"},
    ]  # fmt: skip
    null, half, task, together, *_, late = answers_of(classes, "ModelLines", [str(folder)], questions)
    assert null == {"error": "IllegalArgumentException", "message": "the text is null"}
    assert half["error"] == "IllegalArgumentException" and "surrogate" in half["message"]
    assert task == {"error": "IllegalStateException", "message": "this model does text-classification, not feature-extraction"}
    assert len(together["answers"]) == 1 and together["calls"] == 64
    assert late == {"error": "IllegalStateException", "message": "the model is closed: open it again"}


@pytest.fixture(scope="session")
def module(pack_folder, tmp_path_factory) -> Path:
    """The tiny pack, shipped."""
    out = tmp_path_factory.mktemp("android") / "intents"
    ship(pack_folder, "android", out, package="com.example.intents")
    return out


def runtime(folder: Path) -> list[str]:
    return [str(folder), sys.executable, str(RUNTIME), str(folder)]


@pytest.mark.slow
@needs_java
def test_a_shipped_module_answers_and_proves_itself_and_refuses_a_flipped_byte(module, pack_folder, classes, tmp_path):
    assets = tmp_path / "assets"
    shutil.copytree(module / "src" / "main" / "assets" / "intents", assets)
    tested, answered = answers_of(
        classes, "ModelLines", runtime(assets), [{"op": "self_test"}, {"op": "classify", "text": "turn on the light"}]
    )
    assert tested["ok"] and tested["ids_equal"] == tested["texts"] > 0 and tested["largest"] <= 0.05
    code = device_module()
    with code.load(assets, 1, exact=True) as model:
        assert answered["label"] == model("turn on the light").label
    for name in ("model.onnx.data", "tokenizer.json", "characters.json", "golden.jsonl", "weights.json"):
        content = bytearray((assets / name).read_bytes())
        content[len(content) // 2] ^= 1
        (assets / name).write_bytes(content)
        opened, fresh = answers_of(
            classes, "ModelLines", runtime(assets), [{"op": "classify", "text": "late"}, {"op": "self_test", "fresh": True}]
        )
        assert opened["error"] == "PackException" and f"{name} was changed" in opened["message"]
        assert "error" in fresh
        content[len(content) // 2] ^= 1
        (assets / name).write_bytes(content)
    (assets / "golden.jsonl").unlink()
    (missing,) = answers_of(classes, "ModelLines", runtime(assets), [{"op": "self_test"}])
    assert "golden.jsonl is missing" in missing["message"]


@needs_java
@pytest.mark.parametrize("name", ["tokenizer.json", "characters.json", "model.onnx", "golden.jsonl"])
def test_the_java_module_opens_no_file_that_its_manifest_does_not_list(name, classes, tmp_path):
    folder = made_up(tmp_path / "model", "text-classification")
    (folder / "golden.jsonl").write_text("{}\n")
    path = folder / "module.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"files": [entry for entry in listed_files(folder) if entry["name"] != name]}))
    (refused,) = answers_of(classes, "ModelLines", [str(folder)], [{"op": "self_test"}])
    assert f"module.json lists no {name}" in refused.get("problem", refused.get("message"))


@pytest.mark.slow
@needs_java
def test_a_shipped_decoder_writes_what_edgepack_generates(stories_pack, classes, tmp_path):
    out = tmp_path / "stories"
    ship(stories_pack, "android", out, package="com.example.stories")
    assets = out / "src" / "main" / "assets" / "stories"
    wanted = generate(stories_pack, "Once upon a time", max_tokens=40)
    greedy = {"op": "generate", "prompt": "Once upon a time", "max_tokens": 40}
    drawn = greedy | {"temperature": 0.8, "top_k": 20, "top_p": 0.9, "seed": 7}
    nothing = ["", " \n"]
    questions = [{"op": "self_test"}, greedy, greedy | {"pieces": 3}, drawn, drawn, *(greedy | {"prompt": prompt} for prompt in nothing)]
    tested, result, stopped, each, two, *empty = answers_of(classes, "ModelLines", runtime(assets), questions)
    assert tested["ok"] and tested["texts"] > 0
    assert (result["text"], tuple(result["tokens"]), result["ended_by"]) == (wanted.text, wanted.tokens, wanted.ended_by)
    assert "".join(result["pieces"]) == result["text"] and len(result["pieces"]) > 3
    assert stopped["ended_by"] == "listener" and wanted.text.startswith(stopped["text"]) and len(stopped["pieces"]) == 3
    assert each == two and each["tokens"] != result["tokens"]
    assert [answer["text"] for answer in empty] == [generate(stories_pack, prompt, max_tokens=40).text for prompt in nothing]
    manifest = json.loads((assets / "module.json").read_text())
    (assets / "module.json").write_text(json.dumps(manifest | {"start_id": None}))
    (refused,) = answers_of(classes, "ModelLines", runtime(assets), [greedy | {"prompt": ""}])
    assert refused["error"] == "IllegalArgumentException" and "the prompt is empty" in refused["message"]


def test_the_module_is_what_gradle_takes(module):
    gradle = (module / "build.gradle.kts").read_text()
    assert 'namespace = "com.example.intents"' in gradle and "minSdk = 26" in gradle and '"arm64-v8a", "x86_64"' in gradle
    assert (
        "com.microsoft.onnxruntime:onnxruntime-android:1.31.0" in gradle
        and "litert" not in gradle
        and 'noCompress += listOf("onnx"' in gradle
    )
    sources = module / "src" / "main" / "java" / "com" / "example" / "intents"
    assert {"IntentsModel.java", "IntentsAssets.java", "OnnxRuntime.java"} <= {path.name for path in sources.iterdir()}
    assert not list(sources.glob("LiteRt*")) and not list(sources.glob("Pack[AM]*"))
    for path in sources.iterdir():
        text = path.read_text()
        assert text.startswith("package com.example.intents;\n") and "edgepack.module" not in text and "PackModel" not in text
    ElementTree.parse(module / "src" / "main" / "AndroidManifest.xml")
    readme = (module / "README.md").read_text()
    assert "IntentsAssets.open(context)" in readme and "| runtime | native libraries, arm64-v8a |" in readme
    assert "Unicode-3.0" in (module / "LICENCES.md").read_text()


@pytest.mark.slow
@needs_java
def test_the_archive_is_whole_and_the_same_each_time(module, pack_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")  # a module says when it was made
    monkeypatch.setattr("edgepack.ship.platforms.android.classes_jar", classes_jar)  # by javac itself, each time
    for again in ("once", "twice"):
        ship(pack_folder, "android", tmp_path / again, package="com.example.intents")
    assert (tmp_path / "once" / "intents.aar").read_bytes() == (tmp_path / "twice" / "intents.aar").read_bytes()
    with zipfile.ZipFile(module / "intents.aar") as archive:
        names = set(archive.namelist())
        assert {"AndroidManifest.xml", "classes.jar", "proguard.txt", "R.txt", "assets/intents/model.onnx.data"} <= names
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        ElementTree.fromstring(archive.read("AndroidManifest.xml"))
        (tmp_path / "classes.jar").write_bytes(archive.read("classes.jar"))
    with zipfile.ZipFile(tmp_path / "classes.jar") as jar:
        assert all(name.startswith("com/example/intents/") for name in jar.namelist())
        assert "com/example/intents/IntentsModel.class" in jar.namelist()


def test_without_javac_the_module_is_written_without_an_archive(pack_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    ship(pack_folder, "android", tmp_path / "out", package="com.example.intents")
    assert not (tmp_path / "out" / "intents.aar").exists() and "no javac" in (tmp_path / "out" / "README.md").read_text()


def test_a_name_that_is_taken_and_a_runtime_that_is_not_known_are_refused(pack_folder, tmp_path):
    assert class_prefix("my_intents") == "MyIntents"
    with pytest.raises(EdgepackError, match="would replace SubwordModel"):
        ship(pack_folder, "android", tmp_path / "out", package="com.example.intents", name="subword")
    with pytest.raises(EdgepackError, match="needs a package name"):
        ship(pack_folder, "android", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_methods_of_buffers_are_called_as_old_androids_have_them():
    """javac for Java 11 writes ByteBuffer.rewind() into a class file, and Android 8 has Buffer.rewind() alone."""
    for path in JAVA.rglob("*.java"):
        calls = re.findall(r"(.*)\.(?:rewind|flip|clear|mark|reset|position|limit)\((?!\))", path.read_text())
        calls += re.findall(r"(.*)\.(?:rewind|flip)\(\)", path.read_text())
        assert all("((Buffer) " in call for call in calls), (path, calls)


def test_java_files_are_of_a_size_to_read():
    for path in [*JAVA.rglob("*.java"), *STUBS.rglob("*.java")]:
        assert len(path.read_text().splitlines()) <= 260, path


def signed_with(key: object, message: bytes) -> dict[str, str]:
    public = key.public_key().public_bytes_raw()
    parts = {"key": public, "message": message, "signature": key.sign(message)}
    return {"op": "ed25519"} | {name: b64encode(part).decode() for name, part in parts.items()}


def flipped(text: str, bit: int) -> str:
    content = bytearray(b64decode(text))
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    return b64encode(content).decode()


@needs_java
def test_signatures_are_checked_as_cryptography_checks_them(classes, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519", reason="no cryptography here: edgepack[sign]")
    KINDS["bert"]().save(str(tmp_path / "tokenizer.json"))
    good = [signed_with(ed25519.Ed25519PrivateKey.generate(), b"module" * count) for count in range(12)]
    changed = [
        each | {part: flipped(each[part], 7 + 29 * index)} for index, each in enumerate(good) for part in ("key", "signature") if each[part]
    ]
    late = [each | {"message": b64encode(b64decode(each["message"]) + b".").decode()} for each in good]
    order = 2**252 + 27742317777372353535851937790883648493
    twin = b64decode(good[0]["signature"])
    larger = twin[:32] + (int.from_bytes(twin[32:], "little") + order).to_bytes(32, "little")
    malleable = [good[0] | {"signature": b64encode(larger).decode()}, good[0] | {"signature": b64encode(twin[:40]).decode()}]
    answers = list(ask(classes, tmp_path / "tokenizer.json", tmp_path, [*good, *changed, *late, *malleable]))
    assert [each["signed"] for each in answers] == [True] * len(good) + [False] * (len(answers) - len(good))


@pytest.mark.slow
@needs_java
def test_a_signed_module_refuses_a_manifest_that_another_has_written(pack_folder, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519", reason="no cryptography here: edgepack[sign]")
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key, out = ed25519.Ed25519PrivateKey.generate(), tmp_path / "out"
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    ship(pack_folder, "android", out, package="com.example.intents", sign=tmp_path / "key.pem")
    sources = sorted((out / "src" / "main" / "java" / "com" / "example" / "intents").glob("*.java"))
    plain = [path for path in sources if not path.name.startswith(("Onnx", "ModelOpener", "IntentsAssets", "IntentsFolder"))]
    plain += (STUBS / "org" / "jspecify").rglob("*.java")
    main = tmp_path / "Opens.java"
    main.write_text(
        "package com.example.intents;\n"
        "public final class Opens {\n"
        "    public static void main(String[] arguments) {\n"
        '        ModelRuntime.Opener none = (files, manifest, threads) -> { throw new PackException("all files hold"); };\n'
        "        System.out.println(IntentsModel.selfTest(new FolderFiles(new java.io.File(arguments[0])), none, 1).problem);\n"
        "    }\n"
        "}\n"
    )
    subprocess.run(["javac", "-d", str(tmp_path / "classes"), *map(str, [*plain, main])], check=True, capture_output=True)
    assets = out / "src" / "main" / "assets" / "intents"

    def opened() -> str:
        command = ["java", "-cp", str(tmp_path / "classes"), "com.example.intents.Opens", str(assets)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert opened() == "all files hold"
    manifest = (assets / "module.json").read_text()
    (assets / "module.json").write_text(manifest.replace('"golden_tolerance": 0.05', '"golden_tolerance": 9.05'))
    assert "is not signed by a key" in opened()
    (assets / "module.json").write_text(manifest)
    (assets / "module.sig").unlink()
    assert "module.sig is missing" in opened()


@needs_java
def test_the_module_for_litert_compiles_too(tmp_path):
    sources = write_sources(tmp_path, "com.example.names", "names", "tflite")
    assert {"LiteRt.java", "NamesModel.java"} <= {path.name for path in sources} and "OnnxRuntime.java" not in {
        path.name for path in sources
    }
    with zipfile.ZipFile(BytesIO(classes_jar(sources))) as jar:
        assert {"com/example/names/LiteRt.class", "com/example/names/NamesAssets.class"} <= set(jar.namelist())
