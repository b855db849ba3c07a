"""A decoder is measured by token, by prompt and by context; the page, the Markdown and the terminal show all of it."""

import json
import re
import subprocess
import sys

import pytest
from command_line import in_terminal

from edgepack.measure.machines.transports.local import run_job
from edgepack.measure.measurement import QUICK, headline_length
from edgepack.measure.measuring import measure
from edgepack.measure.workload import workload
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.cost_model import predict
from edgepack.plan.profile import load_profile
from edgepack.plan.shape import read_shape
from edgepack.report.judge import judge
from edgepack.report.write import html, markdown


@pytest.fixture(scope="module")
def manifest(stories_pack):
    return read_manifest(stories_pack)


@pytest.fixture(scope="module")
def measured(stories_pack, manifest):
    return measure(stories_pack, manifest, median_length=None, effort=QUICK)


def test_contexts_and_prompts_stay_within_the_models_positions(manifest):
    assert workload(manifest, None).timed == (("decode", (64, 128, 511)), ("prefill", (16, 128, 512)))
    long = manifest.model_copy(update={"positions": 2048, "max_length": 2048})
    assert workload(long, None).timed == (("decode", (64, 128, 512)), ("prefill", (16, 128, 512)))
    recipe = manifest.recipe.model_copy(update={"length": 4096})
    assert headline_length(long.model_copy(update={"recipe": recipe})) == 2047


@pytest.mark.slow
def test_every_context_and_prompt_is_measured_on_one_core_and_on_all(measured):
    threads = {1, measured.environment["machine"]["cores"]}
    for rows, lengths in ((measured.latency, (64, 128, 511)), (measured.first_token, (16, 128, 512)), (measured.memory, (64, 128, 511))):
        assert [(row.length, row.threads) for row in rows] == [(length, count) for length in lengths for count in sorted(threads)]
    for row in (*measured.latency, *measured.first_token):
        assert len(row.samples_ms) == QUICK.sessions and row.summary.n == sum(map(len, row.samples_ms))
    one_token, prompt = (
        {row.length: row.summary.min for row in rows if row.threads == 1} for rows in (measured.latency, measured.first_token)
    )
    assert prompt[512] > prompt[128] > prompt[16] and prompt[512] > 10 * one_token[511]


def test_memory_grows_with_the_context_by_the_cache_at_least(measured):
    peak = {row.length: row.anonymous_mb for row in measured.memory if row.threads == 1}
    cache_mb = 5 * 2 * 4 * 8 * (511 - 64) * 4 / 1e6  # layers, keys and values, heads, head size, tokens, bytes
    assert peak[511] - peak[64] > 0.9 * cache_mb


def test_the_jobs_samples_come_home_raw(stories_pack):
    for kind in ("decode", "prefill"):
        result = run_job(stories_pack, "onnxruntime", {"kind": kind, "threads": 1, "length": 40, "runs": 25, "seconds": 0})
        assert len(result["samples_ms"]) == 25 and min(result["samples_ms"]) > 0 and result["warm_up_runs"] >= 10
        assert result["job"]["kind"] == kind and result["machine_before"]["cores"] >= 1


def test_the_latency_budget_is_one_token_behind_the_recipes_length(manifest, measured):
    report = judge(manifest, measured.model_copy(update={"is_the_device": True}))
    row = next(row for row in measured.latency if row.length == 128 and row.threads == max(row.threads for row in measured.latency))
    check = next(check for check in report.checks if check.name == "latency_ms")
    assert check.actual == row.summary.p90 and check.origin == "measured"
    memory = [row.peak_mb for row in measured.memory if row.length == 128]
    assert next(check for check in report.checks if check.name == "ram_mb").actual == max(memory)


def test_predictions_are_for_one_token_and_for_the_first(stories):
    shape = read_shape(json.loads((stories / "config.json").read_text()), "text-generation", None, "config.json")
    large = shape.model_copy(update={"hidden": 576, "embedding": 576, "head_dim": 64, "vocab": 49152})
    short, long = (predict(large, "fp32", load_profile("raspberry-pi"), "onnxruntime", length) for length in (64, 512))
    assert short.latency_ms < long.latency_ms < short.first_token_ms < long.first_token_ms and short.ram_mb < long.ram_mb
    head_mb = 49152 * 576 * 4 / 1e6  # read for every token, whatever the rest costs
    assert short.latency_ms > head_mb / load_profile("raspberry-pi").memory.bandwidth_gb_s


def test_page_markdown_and_terminal_show_the_same_rows(manifest, measured):
    report = judge(manifest, measured)
    page, text, lines = html(report), markdown(report), in_terminal(report)
    assert max(map(len, lines)) <= 80
    for row in measured.latency:
        speed = 1e3 / row.summary.p50
        shown = f"{speed:.3g}" if speed < 100 else f"{speed:.0f}"
        assert f"| {row.length} | {row.threads} | {shown} |" in text and f'<td class="n">{shown}</td>' in page
        assert any(re.match(rf"{row.length} +{row.threads} +{speed:.1f} ", line) for line in lines)
    for heading in ("Decoding", "First token", "Memory"):
        assert f"<h3>{heading}</h3>" in page
    assert page.count("tokens/s") >= 2 and "first token after a prompt of" in text and "511 tokens, 1 thread" in page
    assert "means the p90 of one token after 128 others" in text and "ms to the first token after a prompt of that length" in text
    assert "ms for 128 tokens" not in text


@pytest.mark.slow
def test_a_decoders_pack_is_measured_from_its_folder(stories_pack, tmp_path):
    measure_pack(stories_pack, out=tmp_path, effort=QUICK)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["measurements"]["first_token"][0]["samples_ms"] and report["measurements"]["memory"][0]["length"] == 64


def test_the_cards_lines_run_the_pack(stories_pack):
    """As a reader of the model card would, in the folder, without edgepack."""
    code = (stories_pack / "README.md").read_text().split("```python\n")[1].split("```")[0]
    code = code.replace('"a text"', '"Once upon a time"')
    done = subprocess.run([sys.executable, "-c", code], cwd=stories_pack, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Once upon a time, there was a little girl named Lily")
