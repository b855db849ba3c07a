"""The Android sample app and what lies around the library: parsed, compiled as an app's build compiles it, shrunk, and run on a JVM."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jvm import TESTS, answers_of, needs_java
from kotlin_compiler import compile_all, library
from shrinker import missing, shrunk

from edgepack.ship.generate import generate
from edgepack.ship.jvm.runner import runner_for
from edgepack.ship.jvm.sources import write_sources
from edgepack.ship.published import tools
from edgepack.ship.shipping import rendered, ship
from edgepack.tasks import task_named, task_names

NAMES = [name for name in task_names() if task_named(name).java_method]
RUNTIME = Path(__file__).parent.with_name("java_runtime.py")


@pytest.fixture(scope="module")
def kotlin_library() -> Path:
    return library() or pytest.skip("npm does not give Kotlin's compiler")


@pytest.fixture(scope="module")
def project(pack_folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "intents"
    ship(pack_folder, "android", out, package="com.example.intents", version="2.3.4", with_sample=True)
    return out


def test_the_sample_is_a_project_whose_build_names_published_versions_alone(project):
    catalog = tomllib.loads((project / "gradle" / "libs.versions.toml").read_text())
    assert catalog["versions"] == {name: tools()[name].version for name in ("agp", "kotlin", "coroutines")}
    refs = {entry["version"]["ref"] for part in ("libraries", "plugins") for entry in catalog[part].values()}
    assert refs == set(catalog["versions"])
    wrapper = (project / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text()
    assert f"gradle-{tools()['gradle'].version}-bin.zip" in wrapper and tools()["gradle"].sha256 in wrapper
    assert 'include(":app", ":intents")' in (project / "settings.gradle.kts").read_text()
    app = (project / "app" / "build.gradle.kts").read_text()
    used = set(re.findall(r"libs\.([a-z.]+[a-z])", app + (project / "build.gradle.kts").read_text()))
    named = {f"plugins.{name.replace('-', '.')}" for name in catalog["plugins"]} | {name.replace("-", ".") for name in catalog["libraries"]}
    assert used == named
    assert 'project(":intents")' in app and "isMinifyEnabled = true" in app and '"../intents/kotlin"' in app
    ElementTree.parse(project / "app" / "src" / "main" / "AndroidManifest.xml")


def test_the_library_can_be_published_with_sources_and_javadoc_under_its_version(project):
    gradle = (project / "intents" / "build.gradle.kts").read_text()
    assert "`maven-publish`" in gradle and "withSourcesJar()" in gradle and "withJavadocJar()" in gradle
    assert 'group = "com.example"' in gradle and 'version = "2.3.4"' in gradle and 'artifactId = "intents"' in gradle
    assert (project / "intents" / "intents.aar").is_file() or "There is no `.aar`" in (project / "README.md").read_text()


def test_the_readme_says_the_oldest_tools_and_how_to_build(project):
    readme = (project / "README.md").read_text()
    tools_named = ("plugin 8.9.1, Gradle 8.11.1 and JDK 17", "with Gradle 8, from 8.13 on")
    for wanted in (*tools_named, "./gradlew :app:installDebug", "IntentsFolder.open("):
        assert wanted in readme
    for file in re.findall(r"`([a-z/.]+\.(?:aar|toml|kts))`", readme.partition("To use the library")[0]):
        assert (project / file).is_file(), file
    assert (project / "intents" / "intents.aar").is_file() is ("`intents/intents.aar` is the same" in readme)


def test_the_wrapper_is_that_of_the_stated_gradle_whichever_gradle_writes_it(project):
    """`gradle wrapper` writes its own version and keeps the sum of another one, where the build does not say."""
    build = (project / "build.gradle.kts").read_text()
    stated = tools()["gradle"]
    assert f'gradleVersion = "{stated.version}"' in build and f'distributionSha256Sum = "{stated.sha256}"' in build


def test_the_apps_examples_are_the_packs_own_texts(project, pack_folder):
    golden = [json.loads(line)["text"] for line in (pack_folder / "golden.jsonl").read_text().splitlines()]
    code = (project / "app/src/main/kotlin/com/example/intents/sample/Examples.kt").read_text()
    shown = re.findall(r'Pair\("(.*?)", "(.*?)"\)', code)
    assert len(shown) == 5 and all(first in golden and second == "" for first, second in shown)


def test_a_classifier_of_pairs_gets_a_field_for_the_second_text(project):
    single = (project / "app/src/main/kotlin/com/example/intents/sample/MainActivity.kt").read_text()
    assert "second.text" not in single and "open.classified(text.text.toString())" in single
    _, kotlin = sample_of("text-classification", project.parent)
    pairs = next(path for path in kotlin if path.name.startswith("MainActivity")).read_text()
    assert "second = field(" in pairs and "open.classified(text.text.toString(), second.text.toString())" in pairs


@needs_java
def test_public_calls_say_what_may_be_null(tmp_path):
    sources = {path.name: path.read_text() for path in write_sources(tmp_path, "com.example.intents", "intents", "onnx")}
    for name in ("IntentsModel", "IntentsAssets", "IntentsFolder", "FolderFiles", "Labels", "Entities", "Answer", "Generated", "SelfTest"):
        for line in re.findall(r"^    public (?!final class|static final class|interface)[^{;=]*[({;=]", sources[f"{name}.java"], re.M):
            given = re.sub(r"@(NonNull|Nullable) ?", "@", line)
            bare = re.findall(r"(?<![@\w.])([A-Z]\w+)(?:<[^>]*>)? \w+\(?", given.replace("@Override", ""))
            assert not bare, (name, line)


def sample_of(task: str, place: Path) -> tuple[list[Path], list[Path]]:
    """Java and Kotlin of a sample for a task, its templates filled in as android.py and sample.py do."""
    method = task_named(task).java_method
    package = f"com.example.{method}"
    java = write_sources(place / "java", package, method, "onnx")
    two = task in ("question-answering", "text-classification")  # of pairs
    names = {
        "package": package, "prefix": method.capitalize(), "method": method, "name": method, "two_texts": two, "tools": tools(),
        "first_label": "One", "second_label": "Two" if two else "", "examples": [("a $text \"q\" \\ é", "b")],
    }  # fmt: skip
    kotlin = []
    for template in ("android.Coroutines.kt", "sample.MainActivity.kt", "sample.Examples.kt"):
        kotlin.append(place / method / template.partition(".")[2])
        kotlin[-1].parent.mkdir(exist_ok=True, parents=True)
        kotlin[-1].write_text(rendered(f"{template}.j2", **names), encoding="utf-8")
    return java, kotlin


@pytest.mark.slow
@needs_java
def test_the_kotlin_of_every_task_compiles_without_a_warning(kotlin_library, tmp_path):
    parts = [sample_of(task, tmp_path) for task in NAMES]
    (tmp_path / "classes").mkdir()
    java, kotlin = ([path for part in parts for path in part[index]] for index in (0, 1))
    assert compile_all(java, kotlin, tmp_path / "classes") == ""
    assert {path.parent.parent.name for path in (tmp_path / "classes").rglob("MainActivity.class")} == {
        task_named(name).java_method for name in NAMES
    }


@pytest.mark.slow
@needs_java
def test_the_kotlin_that_wraps_the_module_for_other_frameworks_compiles(kotlin_library, project, tmp_path):
    page = (Path(__file__).parent.parent.parent / "docs" / "guides" / "wrap-a-module.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```kotlin\n(.*?)```", page, re.S)
    assert len(blocks) == 2
    kotlin = [*(project / "intents" / "kotlin").rglob("*.kt")]
    for number, block in enumerate(blocks):
        kotlin.append(tmp_path / f"Block{number}.kt")
        kotlin[-1].write_text(block)
    java = [*(project / "intents" / "src").rglob("*.java"), *(TESTS / "wrapping_stubs").rglob("*.java")]
    (tmp_path / "classes").mkdir()
    assert compile_all(java, kotlin, tmp_path / "classes") == ""


def syntax_errors(scripts: list[Path], place: Path) -> list[str]:
    """What the compiler cannot parse; names of Gradle, which is not here, stay unresolved."""
    (place / "classes").mkdir(parents=True)
    files = []
    for number, script in enumerate(scripts):
        lines = script.read_text(encoding="utf-8").splitlines()
        imports, rest = ("\n".join(line for line in lines if line.startswith("import ") is wanted) for wanted in (True, False))
        files.append(place / f"Script{number}.kt")
        files[-1].write_text(f"{imports}\nfun script{number}() {{\n{rest}\n}}\n", encoding="utf-8")
    printed = compile_all([], files, place / "classes").splitlines()
    return [line for line in printed if re.search(r"syntax error|[Ee]xpecting", line)]


@pytest.mark.slow
@needs_java
def test_every_gradle_file_is_kotlin(kotlin_library, project, pack_folder, tmp_path):
    ship(pack_folder, "jvm", tmp_path / "jvm", package="com.example.intents")
    runner = runner_for("onnxruntime", "com.microsoft.onnxruntime:onnxruntime-android", "1.31.0", str(tmp_path / "cache"))
    places = (project, tmp_path / "jvm", runner.parents[4])
    scripts = sorted(path for place in places for path in place.rglob("*.gradle.kts"))
    assert len(scripts) == 8 and syntax_errors(scripts, tmp_path / "whole") == []
    (tmp_path / "cut.gradle.kts").write_text(scripts[0].read_text().replace("}", "", 1))
    assert syntax_errors([tmp_path / "cut.gradle.kts"], tmp_path / "cut")


FLOWS = """package com.example.stories

import java.io.File
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking

fun main(arguments: Array<String>) = runBlocking {
    val opener = ModelRuntime.Opener { _, _, _ -> PythonRuntime(arguments.drop(1)) }
    StoriesModel.open(FolderFiles(File(arguments[0])), opener, 1).use { model ->
        println(model.pieces("Once upon a time", 30).toList().joinToString(""))
        println(model.pieces("Once upon a time", 30).take(3).toList().joinToString(""))
        println(model.generated("Once upon a time", 30).text)
        println(model.selfTested().ok)
    }
}
"""


@pytest.mark.slow
@needs_java
def test_a_flow_gives_the_text_piece_by_piece_and_ends_with_its_reader(kotlin_library, stories_pack, tmp_path):
    out = tmp_path / "stories"
    ship(stories_pack, "android", out, package="com.example.stories")
    helper = tmp_path / "PythonRuntime.java"
    helper.write_text((TESTS / "PythonRuntime.java").read_text().replace("package edgepack.module;", "package com.example.stories;"))
    (tmp_path / "Flows.kt").write_text(FLOWS)
    (tmp_path / "classes").mkdir()
    kotlin = [tmp_path / "Flows.kt", *(out / "kotlin").rglob("*.kt")]
    assert compile_all([*(out / "src").rglob("*.java"), helper], kotlin, tmp_path / "classes") == ""
    jars = [str(kotlin_library / name) for name in ("kotlin-stdlib.jar", "kotlinx-coroutines-core-jvm.jar")]
    assets = out / "src" / "main" / "assets" / "stories"
    command = ["java", "-cp", ":".join([str(tmp_path / "classes"), *jars]), "com.example.stories.FlowsKt", str(assets)]
    done = subprocess.run([*command, sys.executable, str(RUNTIME), str(assets)], capture_output=True, text=True, timeout=120, check=True)
    wanted = generate(stories_pack, "Once upon a time", max_tokens=30).text
    whole, three, once, passed = done.stdout.removesuffix("\n").rsplit("\n", 3) if wanted.count("\n") == 0 else _split(done.stdout, wanted)
    assert whole == once == wanted and wanted.startswith(three) and 0 < len(three) < len(wanted) and passed == "true"


def _split(printed: str, wanted: str) -> tuple[str, str, str, str]:
    rest = printed.removeprefix(f"{wanted}\n")
    three, _, tail = rest.partition(f"\n{wanted}\n")
    return wanted, three, wanted, tail.strip()


@pytest.mark.slow
@needs_java
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_shrunk_and_renamed_module_proves_itself(pack_folder, stories_pack, classes, tmp_path):
    jar = shrunk(classes, "edgepack.module.ModelLines", tmp_path / "small")
    mapping = (tmp_path / "small" / "mapping.txt").read_text()
    assert re.search(r"^edgepack\.module\.PackModel -> edgepack\.module\.[A-Za-z]{1,2}:$", mapping, re.M)
    for pack, name in ((pack_folder, "intents"), (stories_pack, "stories")):
        out = tmp_path / name
        ship(pack, "android", out, package=f"com.example.{name}")
        assets = out / "src" / "main" / "assets" / name
        (tested,) = answers_of(jar, "ModelLines", [str(assets), sys.executable, str(RUNTIME), str(assets)], [{"op": "self_test"}])
        assert tested["ok"] and tested["ids_equal"] > 0, tested
