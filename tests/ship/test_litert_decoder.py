"""A decoder's TFLite file is shipped: the module writes what edgepack writes, and in fp32 what transformers writes."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import edgepack
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.formats import check_installed
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship

PROMPT = "Once upon a time there was a little girl"
ASK = (
    "import json, sys\nfrom tales import load, self_test\n"
    "with load(threads=1) as model:\n    found = model(sys.argv[1], max_tokens=40)\n"
    "proof = self_test(threads=1)\n"
    "print(json.dumps({'tokens': found.tokens, 'ok': proof.ok, 'problem': proof.problem, 'texts': proof.texts}))"
)


@pytest.fixture(scope="module")
def pack(stories, tmp_path_factory, cache) -> Path:
    try:
        check_installed("tflite")
    except EdgepackError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("packs") / "tales"
    recipe = Recipe(model=str(stories), student="same", prune_heads=0.0, precision="fp32", format="tflite", max_length=128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgepack.export.tflite_decoder.PROMPTS", (16,))
        build(recipe, load_profile("phone"), out, cache, effort=None)
    return out


def expected_tokens(stories, prompt: str, count: int) -> list[int]:
    """The outside oracle."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(stories), AutoModelForCausalLM.from_pretrained(stories).eval()
    given = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        result = model.generate(**given, max_new_tokens=count, do_sample=False)
    return result[0, given["input_ids"].shape[1] :].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["python", "linux"])
def test_a_shipped_module_writes_the_tokens_of_edgepack_and_of_transformers(pack, stories, tmp_path, platform):
    shipped = ship(pack, platform, tmp_path / "out", name="tales")
    assert read_manifest(pack).format == "tflite" and shipped.task == "text-generation"
    files = {path.name for path in (tmp_path / "out" / "tales").glob("*.py")}
    assert {"session_litert.py", "litert_decoder.py", "open_litert.py"} <= files
    assert not files & {"session_onnxruntime.py", "open_onnxruntime.py"}
    expected = expected_tokens(stories, PROMPT, 40)
    for _ in range(2):  # the second start maps what the first one packed
        done = subprocess.run([sys.executable, "-c", ASK, PROMPT], cwd=tmp_path / "out", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["ok"] and result["texts"] > 0, result
        assert result["tokens"] == expected and list((tmp_path / "out/tales/model/.weight-cache/packed").glob("*.xnnpack"))
    assert list(edgepack.generate(pack, PROMPT, max_tokens=40).tokens) == expected


@pytest.mark.slow
def test_several_texts_are_written_at_once_each_with_a_cache_of_its_own(pack):
    prompts = [PROMPT, "The dog", "Once", "Tom and Lily"]
    alone = [edgepack.generate(pack, prompt, max_tokens=30).text for prompt in prompts]
    with edgepack.load(pack) as model, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda prompt: model(prompt, max_tokens=30).text, prompts)) == alone
        assert "".join(piece.text for piece in model.stream(PROMPT, max_tokens=30)) == alone[0]
        with pytest.raises(BaseException, match="scores one token a run"):
            model(PROMPT, lookup_tokens=4)
    with pytest.raises(EdgepackError, match="scores one token a run"):
        edgepack.generate(pack, PROMPT, lookup_tokens=4)
