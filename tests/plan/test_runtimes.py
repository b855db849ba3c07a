"""A runtime is one file: everything that edgepack knows of it stands there, and its name nowhere else."""

import ast
from pathlib import Path

import pytest
from shapes import MINILM

from edgepack.core.errors import EdgepackError
from edgepack.pipeline.build import plan_formats
from edgepack.plan.plan import make_plan
from edgepack.plan.precision import precision_names
from edgepack.plan.profile import Profile, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import all_runtimes, default_runtime, facts_in_python, python_runtimes, runtime_facts, runtime_names

ROOT = Path(__file__).parents[2]
# Places that name the Python package of a runtime because they use it as a library of the build.
AS_A_LIBRARY = {"edgepack/core/cache.py"}


@pytest.mark.parametrize("name", runtime_names())
def test_every_runtime_has_what_the_rooms_ask_of_it(name):
    facts = runtime_facts(name)
    assert facts.name == name and facts.licence and (facts.kernels is None or "fp32" in facts.kernels)
    python = facts_in_python(name)
    assert python.python is None and python.format == facts.format
    assert (ROOT / "targets" / python.script).is_file() and python.module and python.version and python.unpacked_bytes
    assert python.package in python.wheels and any(wheel.startswith("numpy") for wheel in python.wheels)
    assert facts.format != "onnx" or {"fp32"} <= set(facts.oldest) <= set(precision_names())
    assert (ROOT / "targets" / "module" / f"session_{python.script.removeprefix('run_')}").is_file()
    if facts.android:
        assert (ROOT / "edgepack" / "ship" / "jvm" / "java" / name).is_dir() and ":" in facts.android.coordinate


def test_runtimes_are_ranked_without_ties_and_both_formats_can_be_built():
    assert len({facts.rank for facts in all_runtimes()}) == len(runtime_names())
    assert default_runtime() == "onnxruntime" and {facts.format for facts in python_runtimes()} == {"onnx", "tflite"}


def test_an_unknown_runtime_is_named_with_the_nearest():
    with pytest.raises(EdgepackError, match="unknown runtime: 'lite-rt'") as error:
        runtime_facts("lite-rt")
    assert "litert" in error.value.fix
    profile = load_profile("raspberry-pi").as_json()
    profile["runtimes"]["onnxruntimes"] = profile["runtimes"].pop("onnxruntime")
    with pytest.raises(EdgepackError, match="onnxruntimes"):
        Profile.read(profile, "mine.toml")


def test_a_runtimes_name_stands_in_its_own_file_alone():
    names = {name for facts in all_runtimes() for name in (facts.name, *facts.builders, *([facts.npm.name] if facts.npm else []))}
    names |= {facts.package for facts in python_runtimes()} | {facts.module for facts in python_runtimes()}
    for path in sorted((ROOT / "edgepack").rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if path.parent.name == "runtimes" or place in AS_A_LIBRARY:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Constant) and node.value in names), f"{place}:{node.lineno} names {node.value}"


def test_a_plan_says_which_runtime_would_be_faster_and_how_to_find_out():
    """By instruction sets: XNNPACK's int8 is faster than onnxruntime's with VNNI, and slower with AVX2 alone."""
    whys = {}
    for name in ("x86-server", "x86-edge", "x86-edge-avx2", "raspberry-pi"):
        recipe = Recipe(student="same", precision="int8", prune_heads=0.0)
        whys[name] = next(step.why for step in make_plan(load_profile(name), recipe, MINILM).steps if step.verb == "export")
    assert all("litert is predicted to be faster" in whys[name] and "--format auto" in whys[name] for name in ("x86-server", "x86-edge"))
    assert "litert is predicted to be no faster" in whys["x86-edge-avx2"] and "litert" not in whys["raspberry-pi"]
    asked = make_plan(load_profile("x86-server"), Recipe(student="same", precision="int8", format="onnx"), MINILM)
    assert not any("litert" in step.why for step in asked.steps)


def test_a_plan_that_would_train_says_which_runtime_meets_the_budgets_without_it(tmp_path):
    def why(latency_ms, **wished):
        recipe = Recipe(data=str(tmp_path), budget={"latency_ms": latency_ms}, **wished)
        return next(step.why for step in make_plan(load_profile("x86-server"), recipe, MINILM).steps if step.verb == "export")

    assert "With litert, 6x384 is predicted to meet the budgets" in why(1.5) and "nothing would be trained" in why(1.5)
    assert all("nothing would be trained" not in each for each in (why(20.0), why(0.6), why(1.5, student="3x384"), why(1.5, format="onnx")))


def test_the_command_line_s_plan_says_it_too(teacher_folder):
    """The plan that a user sees goes by the formats of his recipe, and he has chosen none."""
    recipe = Recipe(model=str(teacher_folder), precision="int8")
    (plan,) = plan_formats(recipe, load_profile("x86-server"))
    assert any("litert is predicted to be" in step.why for step in plan.steps)
    both = plan_formats(recipe.model_copy(update={"format": "both"}), load_profile("x86-server"))
    assert [plan.format for plan in both] == ["onnx", "tflite"]
    assert not any("predicted to be" in step.why for plan in both for step in plan.steps)
