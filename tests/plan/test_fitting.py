"""Rates fitted to latencies, and the profile of a machine as a TOML file."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import MINILM

from edgepack.core.errors import EdgepackError
from edgepack.plan.cost_model import predict
from edgepack.plan.fitting import (
    Opened,
    Timed,
    described,
    fit_rates,
    fit_session_scale,
    isa_of,
    nearest_profile,
    profile_toml,
    scaled_with_fp32,
    with_rate,
)
from edgepack.plan.profile import Profile, load_profile, profile_names
from edgepack.plan.shape import LayerShape

PI = {"arch": "aarch64", "cpu": None, "cpu_part": "cortex-a72", "cores": 4, "isa": ["asimd", "crc32"], "memory_mb": 3900.0}
SHAPES = (MINILM, MINILM.model_copy(update={"layers": (LayerShape(heads=8, ffn=1024),) * 4, "hidden": 256, "embedding": 256}))


def timed_as(profile, runtime, precisions=("fp32", "int8")):
    """What a device whose profile were right would be measured at."""
    cases = [(each, precision, length) for each in SHAPES for precision in precisions for length in (16, 64, 128)]
    return [
        Timed(each, precision, length, predict(each, precision, profile, runtime, length).latency_one_core_ms)
        for each, precision, length in cases
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raspberry-pi", "phone"])
def test_rates_that_made_the_latencies_are_fitted_again(name):
    profile = load_profile(name)
    start = with_rate(with_rate(profile, "onnxruntime", "fp32", 1.0), "onnxruntime", "int8", 1.0)
    fitted, rates = fit_rates(start, {"onnxruntime": timed_as(profile, "onnxruntime")})
    for precision in ("fp32", "int8"):
        wanted = profile.runtimes["onnxruntime"].precisions[precision].macs_per_cycle
        assert rates["onnxruntime"][precision].macs_per_cycle == pytest.approx(wanted, rel=0.1)
        assert rates["onnxruntime"][precision].mean_error < 0.03
        assert fitted.runtimes["onnxruntime"].precisions[precision].macs_per_cycle == rates["onnxruntime"][precision].macs_per_cycle


@pytest.mark.slow
def test_a_slower_memory_is_fitted_where_short_texts_show_it():
    profile = load_profile("x86-server")
    slow = profile.model_copy(update={"memory": profile.memory.model_copy(update={"bandwidth_gb_s": 10.0})})
    fitted, _ = fit_rates(profile, {"onnxruntime": timed_as(slow, "onnxruntime")})
    assert fitted.memory.bandwidth_gb_s == pytest.approx(10, rel=0.25)


def test_sessions_that_take_three_times_as_long_are_fitted_whatever_the_storage_takes():
    profile = load_profile("raspberry-pi")
    opened = []
    for shape in SHAPES:
        predicted = predict(shape, "int8", profile, "onnxruntime", 128)
        read_ms = predicted.read_mb / profile.storage.read_mb_s * 1e3
        opened.append(Opened(shape, "int8", read_ms + 3 * (predicted.load_ms - read_ms)))
    fitted = fit_session_scale(profile, "onnxruntime", opened)
    assert fitted.runtimes["onnxruntime"].session_scale == pytest.approx(3, rel=0.02)
    assert predict(SHAPES[0], "int8", fitted, "onnxruntime", 128).load_ms == pytest.approx(opened[0].load_ms, rel=0.02)
    too_short = fit_session_scale(profile, "onnxruntime", [opened[0]._replace(load_ms=1.0)])
    assert too_short.runtimes["onnxruntime"].session_scale == 0.1


def test_what_was_not_timed_keeps_its_rate_beside_fp32():
    like = load_profile("raspberry-pi")
    doubled = with_rate(like, "onnxruntime", "fp32", 8.0)
    fitted, rates = fit_rates(like, {"onnxruntime": timed_as(doubled, "onnxruntime", ("fp32",))})
    scaled = scaled_with_fp32(fitted, like, "onnxruntime", rates["onnxruntime"])
    speeds, before = scaled.runtimes["onnxruntime"].precisions, like.runtimes["onnxruntime"].precisions
    assert speeds["int8"].macs_per_cycle / speeds["fp32"].macs_per_cycle == pytest.approx(
        before["int8"].macs_per_cycle / before["fp32"].macs_per_cycle
    )


def test_a_machine_is_described_by_the_nearest_profile():
    like = nearest_profile(PI)
    assert like.name == "raspberry-pi" and isa_of(PI) == ("crc32", "neon")
    profile = described(like, PI)
    assert (profile.cpu.part, profile.cpu.cores, profile.memory.total_mb) == ("cortex-a72", 4, 3900)
    assert nearest_profile(PI | {"isa": ["asimd", "crc32", "aes", "asimddp", "asimdhp"]}).cpu.isa != like.cpu.isa
    with pytest.raises(EdgepackError, match="no shipped profile is of the architecture riscv64"):
        nearest_profile(PI | {"arch": "riscv64"})


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_is_the_same_after_it_was_written(name, tmp_path):
    profile = load_profile(name)
    notes = {"summary": "a note\nof two lines", "runtimes.onnxruntime.precisions.int8": "fitted", "budget": "assumptions"}
    path = tmp_path / f"{name}.toml"
    path.write_text(profile_toml(profile, notes))
    assert load_profile(str(path)) == profile
    assert "# a note of two lines" in path.read_text()


@settings(max_examples=50)
@given(text=st.text(max_size=40))
def test_whatever_a_machine_calls_itself_stays_a_text(text):
    profile = described(load_profile("raspberry-pi"), PI | {"cpu": text or "x", "cpu_part": None})
    table = tomllib.loads(profile_toml(profile, {"summary": text}))
    assert set(table) == set(tomllib.loads(profile_toml(load_profile("raspberry-pi"), {})))
    assert Profile.read({"name": "x"} | table, "test").cpu.cores == 4
