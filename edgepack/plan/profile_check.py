"""The check of a device profile: its keys, unusual values, and a plan for each runtime and precision. Pure and fast."""

from collections.abc import Iterator
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.formats import FORMATS
from edgepack.plan.plan import make_plan
from edgepack.plan.precision import ONNX_ENCODER, bits_of, exported_precision, precision_facts
from edgepack.plan.profile import PrecisionName, Profile, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import LayerShape, ModelShape

# What a profile is tried with: an encoder of MiniLM's shape, and for 4 bits, which are for decoders, one of SmolLM2-135M's.
_ENCODER = ModelShape(
    model_type="bert", task="text-classification", layers=(LayerShape(heads=12, ffn=1536),) * 6, hidden=384, head_dim=32, kv_groups=1,
    vocab=30522, positions=512, token_types=2, embedding=384, labels=2,
)  # fmt: skip
_DECODER = ModelShape(
    model_type="llama", task="text-generation", layers=(LayerShape(heads=9, ffn=1536),) * 30, hidden=576, head_dim=64, kv_groups=3,
    vocab=49152, positions=8192, token_types=0, embedding=576, labels=0,
)  # fmt: skip

# Beyond these a value is more likely a wrong unit than a real device.
_USUAL = {
    "cpu.cores": (1, 128),
    "cpu.clock_ghz": (0.4, 6.0),
    "memory.total_mb": (64, 2_000_000),
    "memory.bandwidth_gb_s": (0.5, 1000.0),
    "storage.read_mb_s": (5.0, 20_000.0),
    "macs_per_cycle": (0.5, 512.0),
}


class TriedPlan(Frozen):
    """A plan for one runtime and precision; `problem` and `fix` say why there is none."""

    runtime: str
    precision: PrecisionName
    model: str
    latency_ms: float | None = None
    file_mb: float | None = None
    problem: str | None = None
    fix: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


class ProfileCheck(Frozen):
    """`unusual` values are read and used all the same; a plan that fails makes the profile unfit."""

    name: str
    file: str
    unusual: tuple[str, ...]
    plans: tuple[TriedPlan, ...]
    ok: bool


def check_profile(path: Path) -> ProfileCheck:
    """EdgepackError: the file cannot be read as a profile; it names key, value and the way out."""
    if not path.is_file():
        raise EdgepackError(f"profile file not found: {str(path)!r}", "give the path of the TOML file")
    profile = load_profile(str(path) if path.suffix == ".toml" else f"./{path}")
    plans = tuple(_try(profile, runtime, precision) for runtime in profile.runtimes for precision in profile.runtimes[runtime].precisions)
    return ProfileCheck(
        name=profile.name, file=str(path), unusual=tuple(_unusual(profile)), plans=plans, ok=all(tried.ok for tried in plans)
    )


def _try(profile: Profile, runtime: str, precision: PrecisionName) -> TriedPlan:
    shape, model = (
        (_DECODER, "a decoder of SmolLM2-135M's shape")
        if ONNX_ENCODER not in precision_facts(precision).quantize
        else (_ENCODER, "an encoder of MiniLM's shape")
    )
    tried = TriedPlan(runtime=runtime, precision=precision, model=model)
    recipe = Recipe(model=model, student="same", prune_heads=0.0, precision=precision, format=FORMATS[runtime])
    only = profile.model_copy(update={"runtimes": {runtime: profile.runtimes[runtime]}})
    try:
        predicted = make_plan(only, recipe, shape).predictions
    except EdgepackError as error:
        return tried.model_copy(update={"problem": error.problem, "fix": error.fix})
    return tried.model_copy(update={"latency_ms": predicted.latency_ms, "file_mb": predicted.file_mb})


def _unusual(profile: Profile) -> Iterator[str]:
    facts = {
        "cpu.cores": profile.cpu.cores,
        "cpu.clock_ghz": profile.cpu.clock_ghz,
        "memory.total_mb": profile.memory.total_mb,
        "memory.bandwidth_gb_s": profile.memory.bandwidth_gb_s,
        "storage.read_mb_s": profile.storage.read_mb_s,
    }
    for key, value in facts.items():
        yield from _out_of_range(key, value, _USUAL[key])
    for name, runtime in profile.runtimes.items():
        exact = runtime.precisions[exported_precision()].macs_per_cycle
        for precision, speed in runtime.precisions.items():
            key = f"runtimes.{name}.precisions.{precision}.macs_per_cycle"
            yield from _out_of_range(key, speed.macs_per_cycle, _USUAL["macs_per_cycle"])
            if bits_of(precision) == 8 and speed.macs_per_cycle < exact:
                yield f"{key} = {speed.macs_per_cycle:g} is below that of fp32 ({exact:g}), so int8 saves bytes and no time here"
    missing = [name for name, limit in profile.budget.model_dump().items() if limit is None]
    if missing:
        yield f"[budget] has no {', '.join(missing)}: nothing checks them, and no plan is chosen by them"
    elif profile.budget.ram_mb and profile.budget.ram_mb > profile.memory.total_mb:
        yield f"budget.ram_mb = {profile.budget.ram_mb:g} is more than memory.total_mb = {profile.memory.total_mb}"


def _out_of_range(key: str, value: float, usual: tuple[float, float]) -> Iterator[str]:
    low, high = usual
    if not low <= value <= high:
        yield f"{key} = {value:g} is unusual (most devices: {low:g} to {high:g}); is it in the unit that the key's name says?"
