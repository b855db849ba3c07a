"""Quantization-aware training of decoders: what was seen is what the file holds, in ONNX and in TFLite, and gradients pass."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import warm_python
from hypothesis import given, settings
from hypothesis import strategies as st
from small import make_model

from edgepack.compress.block_rounding import _InBlocks, seen_in_blocks
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build, plan_build
from edgepack.pipeline.demo.commands import commands
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import BlockRounding
from edgepack.quantize.blocks import Grid, find_scales, quantize_blocks, trained_grids
from edgepack.quantize.gptq import quantize_by_moments

ONNX = BlockRounding(bits=4, block=32, asymmetric=True, bf16=False)
TFLITE = BlockRounding(bits=4, block=32, asymmetric=False, bf16=True)


def grid_for(rounding):
    return Grid(rounding.bits, rounding.block, rounding.asymmetric, rounding.bf16)


@pytest.mark.parametrize("rounding", [ONNX, TFLITE], ids=["onnx", "tflite"])
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), inputs=st.sampled_from([32, 64, 80]), drift=st.sampled_from([0.0, 0.3, 3.0]))
def test_trained_blocks_are_stored_as_they_are(rounding, seed, inputs, drift):
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(16, inputs, generator=draw) * torch.rand(16, 1, generator=draw)
    blocks = _InBlocks(weight, rounding, is_transposed=False)
    moved = weight * (1 + drift * torch.rand(16, inputs, generator=draw))  # so that blocks need not reach both ends of their grid
    trained = blocks.rounded(moved).numpy()
    stored = quantize_blocks(trained, grid_for(rounding)).matrix(inputs)
    assert np.allclose(stored, trained, rtol=0, atol=1e-5 * np.abs(trained).max())
    values = np.random.default_rng(seed).normal(size=(200, inputs)).astype(np.float32)
    calibrated = quantize_by_moments(trained, grid_for(rounding), values.T @ values)
    assert np.allclose(calibrated.matrix(inputs), trained, rtol=0, atol=1e-5 * np.abs(trained).max())


def test_weights_that_nobody_trained_are_on_no_grid():
    values = np.random.default_rng(0).normal(size=(64, 8, 32)).astype(np.float32)
    assert not trained_grids(values, grid_for(ONNX))[0].any()
    scales, _ = find_scales(values, grid_for(ONNX))
    assert (scales != 0).all()


class Tiny(torch.nn.Module):
    """A table that the head shares, and a product."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(50, 32)
        self.product = torch.nn.Linear(32, 32)
        self.head = torch.nn.Linear(32, 50, bias=False)
        self.head.weight = self.table.weight

    def get_input_embeddings(self):
        return self.table

    def get_output_embeddings(self):
        return self.head

    def forward(self, ids):
        return self.head(self.product(self.table(ids)))


def test_what_is_seen_stays_and_gradients_reach_every_weight():
    torch.manual_seed(0)
    model, ids = Tiny(), torch.arange(50)[None]
    names, table = set(model.state_dict()), model.table.weight.detach().clone()
    whole = model(ids).detach()
    with seen_in_blocks(model, ONNX):
        seen = model(ids)
        seen.square().sum().backward()
        assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in model.parameters() if each.requires_grad)
        seen = seen.detach()
    assert set(model.state_dict()) == names and model.head.weight is model.table.weight
    assert torch.equal(model(ids), seen) and not torch.allclose(seen, whole, atol=1e-6)
    assert trained_grids(model.product.weight.detach().numpy()[:, None], grid_for(ONNX))[0].all()
    assert torch.equal(model.table.weight, table)


def test_grids_follow_the_weights_while_a_model_trains_and_rest_while_it_is_judged():
    model, ids = Tiny().train(), torch.arange(50)[None]
    with seen_in_blocks(model, ONNX):
        weights = model.product.parametrizations.weight
        first = weights[0].scales.clone()
        with torch.no_grad():
            weights.original.mul_(3)
            for step in range(51):  # the grids are looked at before the 51st
                assert torch.equal(weights[0].scales, first), step
                model.eval()(ids)
                model.train()(ids)
        assert torch.allclose(weights[0].scales, 3 * first, rtol=1e-5)


# Grids are found again before the 51st step: what went on from before that must do it, and what went on from after it has what was found.
@pytest.mark.slow
@pytest.mark.parametrize("step", [45, 65])
def test_a_training_that_is_killed_goes_on_to_the_same_bytes(tmp_path, step):
    make_model(tmp_path / "model", "gpt2", task="text-generation")
    texts = write_texts(tmp_path / "texts", 60)

    def train(folder, *more):
        (tmp_path / folder).mkdir(exist_ok=True)
        words = [Path(__file__).with_name("killed_training.py"), tmp_path / "model", texts, tmp_path / folder, *more]
        return warm_python.run(list(map(str, words)), tmp_path)

    assert train("killed", step).returncode == -signal.SIGKILL
    assert sorted(path.name for path in (tmp_path / "killed").glob("*"))[-1].startswith("checkpoint-")
    for folder in ("killed", "whole"):
        done = train(folder)
        assert done.returncode == 0, done.stderr
    whole, again = (torch.load(tmp_path / folder / "trained.pt") for folder in ("whole", "killed"))
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def write_texts(folder, rows):
    """rows: of the train split; 48 have too few tokens for GPTQ, 200 enough."""
    folder.mkdir()
    for split, count in {"train": rows, "dev": 8, "test": 8}.items():
        (folder / f"{split}.txt").write_text("\n".join(text for text, _ in commands()[split][:count]), encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "rows", "more"),
    [
        ("llama", 200, {"format": "onnx", "sensitive": 0}),
        ("gpt2", 48, {"format": "onnx", "sensitive": 0}),
        ("llama", 200, {"format": "tflite"}),
        ("gpt2", 48, {"format": "tflite"}),
    ],
    ids=["llama", "gpt2 without calibration", "tflite", "tflite without calibration"],
)
def test_a_build_ships_the_blocks_that_were_trained(family, rows, more, cache, tmp_path):
    make_model(tmp_path / "model", family, task="text-generation")
    data = str(write_texts(tmp_path / "texts", rows))
    stated = {"model": str(tmp_path / "model"), "data": data, "student": "same", "prune_heads": 0.0, "precision": "int4"}
    stated |= {"quantization_aware": True, "training": {"epochs": 2}, "budget": {"score_drop": 1000.0}} | more
    build(Recipe.read(stated, "test"), load_profile("x86-server"), tmp_path / "pack", cache, None)
    ladder = read_manifest(tmp_path / "pack").ladder
    details = next(row for row in ladder if row.stage == "quantize").attempts[-1].details
    assert str(details["calibration_texts"]).startswith("none") == (rows == 48)
    teacher, trained, stored = (
        next(row for row in ladder if row.stage == stage).score.value for stage in ("teacher", "distill", "quantize")
    )
    assert stored == pytest.approx(trained, rel=0.02) and trained != teacher


def test_what_no_block_of_4_bits_is_trained_for_is_refused(tmp_path):
    make_model(tmp_path / "model", "llama", task="text-generation")
    stated = {
        "model": str(tmp_path / "model"),
        "data": str(write_texts(tmp_path / "texts", 48)),
        "student": "same",
        "quantization_aware": True,
    }
    for more, says in (
        ({"precision": "int8"}, "blocks of 4 bits"),
        ({"precision": "fp32"}, "blocks of 4 bits"),
        ({"precision": "int8", "bits": 5.0}, "blocks of 4 bits"),
        ({"precision": "int4", "embedding_bits": 4}, "does not train in a text-generation model"),
    ):
        with pytest.raises(EdgepackError, match=says):
            plan_build(Recipe.read(stated | more, "test"), load_profile("x86-server"))
