"""Products in bf16: near to those in fp32, weights and losses stay in fp32, and the same run gives the same bytes."""

from dataclasses import replace

import pytest
import torch
from models_shared import context_for
from small import make_data, make_model

from edgepack.compress.distillation import distill
from edgepack.core import host
from edgepack.core.errors import EdgepackError
from edgepack.model import training_precision
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.training_precision import computed_in, in_fastest_precision
from edgepack.pipeline.build import plan_build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Distill, Rounding
from edgepack.plan.training_settings import Training

ROUNDING = Rounding(bits=None, largest=127, activations=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    make_model(folder / "model")
    make_data(folder / "data", {"train": 96, "dev": 8, "test": 8})
    return folder


def step(**more):
    settings = {"layers": 2, "hidden": 64, "epochs": 2, "batch_rows": 16, "learning_rate": 1e-3, "temperature": 2.0, "hidden_weight": 1.0}
    return Distill(**(settings | {"why": ""} | more))


def student_of(place, folder, precision):
    context = context_for(place / "model", place / "data", folder)
    model = load_checkpoint(place / "model")
    outputs = run_model(model, context.task, context.features, "teacher")
    context = replace(context, teacher_outputs=outputs, load_teacher=lambda: load_checkpoint(place / "model"))
    return distill(model, step(training_precision=precision), context), context


@pytest.mark.slow
def test_a_student_trained_in_bf16_is_near_that_of_fp32_and_itself_in_fp32(place, tmp_path):
    (low, context), (again, _), (whole, _) = (
        student_of(place, tmp_path / str(index), precision) for index, precision in enumerate(("bf16", "bf16", "fp32"))
    )
    assert context.details["training_precision"] == "bf16"
    weights, others = low.state_dict(), whole.state_dict()
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in weights.values())
    assert all((tensor == again.state_dict()[name]).all() for name, tensor in weights.items())
    assert any((tensor != others[name]).any() for name, tensor in weights.items())
    first, second = (torch.tensor(run_model(model, context.task, context.features, "")) for model in (low, whole))
    assert (first - second).abs().mean() < 0.1 * (second - second.mean(0)).abs().mean()


def test_a_loss_in_bf16_multiplies_in_bf16_and_adds_up_in_fp32():
    linear, kinds = torch.nn.Linear(8, 4), []

    def loss(model, batch, _):
        outputs = model(batch["x"])
        kinds.append(outputs.dtype)
        return outputs.float().square().mean()

    batch = {"x": torch.randn(2, 8)}
    for precision in ("bf16", "fp32", None):
        computed_in(precision, loss)(linear, batch, None).backward()
        assert linear.weight.grad.dtype == torch.float32
    assert kinds == [torch.bfloat16, torch.float32, torch.float32]


@pytest.mark.parametrize("is_fast", [True, False])
def test_the_machine_decides_where_nobody_does(monkeypatch, is_fast):
    monkeypatch.setattr(training_precision, "multiplies_bf16", lambda: is_fast)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert in_fastest_precision(step(), decodes=False).training_precision == ("bf16" if is_fast else "fp32")
    assert in_fastest_precision(step(), decodes=True).training_precision == "fp32"
    assert in_fastest_precision(step(rounding=ROUNDING), decodes=False).training_precision == "fp32"
    for stated in ("bf16", "fp32"):
        assert in_fastest_precision(step(training_precision=stated), decodes=True).training_precision == stated


@pytest.mark.parametrize(
    ("flags", "fast"), [("avx512f avx512_bf16", True), ("avx2 amx_bf16 fma", True), ("avx512_vnni avx512_bf16x", False)]
)
def test_the_cpu_is_asked_by_linux(monkeypatch, flags, fast):
    monkeypatch.setattr(host.Path, "read_text", lambda *_, **__: f"processor : 0\nflags\t\t: fpu {flags}\n")
    host.kernel_instructions.cache_clear()
    try:
        assert host.multiplies_bf16() is fast
    finally:
        host.kernel_instructions.cache_clear()


def test_rounding_in_training_refuses_bf16(place):
    more = {"precision": "int8", "quantization_aware": True, "training": Training(training_precision="bf16")}
    recipe = Recipe(model=str(place / "model"), data=str(place / "data"), student="same", **more)
    with pytest.raises(EdgepackError, match="--training-precision bf16 would round the weights once more"):
        plan_build(recipe, load_profile("raspberry-pi"))
