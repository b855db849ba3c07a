"""What coded weights cost and save on a device: file, memory, load; how coarse a grid must be for a budget; how the device starts. Pure."""

from dataclasses import dataclass
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.plan.coding import CodecName, Coding, StartName, WeightKind
from edgepack.plan.file_size import narrow_weights
from edgepack.plan.precision import BLOCK, FileKind, precision_facts
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import Budget, PrecisionName, Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import ModelShape

FINE_BITS = 7.2  # a weight's entropy where int8 is as fine as it can be: measured on MiniLM
TRAINED_BITS = 2.0  # so few and fewer only by --quantization-aware
_OVERHEAD = 1.012  # of codes of whole bits over the entropy, with the index: 3.596 bits where the entropy is 3.565
_FEW_BITS, _MORE_BITS = 2.5, 0.12  # below so many bits deflate takes more for each bit that is missing: MiniLM at 2.2, 1.6 and 1.2 bits
# A weight's codes where it has few values: random ones by each codec, ternary as TWN's threshold splits a normal distribution. Deflate has
# a code for the end beside them, so that one of two values takes 2 bits, and finds some of that again in repeated strings.
_CODES: dict[WeightKind, dict[CodecName, float]] = {"ternary": {"deflate": 1.87, "zstd": 1.60}, "binary": {"deflate": 1.22, "zstd": 1.01}}
_ROOM = 0.985  # of the budget is aimed at: a grid is found within 0.02 bits
_MOST_BITS = 6.0  # beyond it a coarser grid saves nothing that is worth a stage
_SCALE_BYTES = 4
_FIT_GHZ = 3.5
# Of decoded bytes with their hashes, one core at that clock: MiniLM at 3 bits, CPU time on one x86 CPU (270 and 940 MB/s). Nobody has
# measured how far they carry to another CPU.
_DECODE_MB_S: dict[CodecName, float] = {"deflate": 250.0, "zstd": 900.0}
_HASH_MB_S, _FAST_HASH_MB_S = 400.0, 1500.0  # sha256 on one core at that clock, without and with instructions for it
_PARALLEL = 0.85  # of each further core's speed that decoding chunks at once gains


@dataclass(frozen=True)
class Ways:
    """Predicted, for a file that is coded: what it takes, and the load and memory of both ways to start."""

    coded_mb: float
    decoded_mb: float
    decode_ms: float
    stream: Prediction
    expand: Prediction

    @property
    def decode_mb_s(self) -> float:
        return self.decoded_mb / self.decode_ms * 1e3

    @property
    def break_even_mb_s(self) -> float:
        """The storage's speed above which decoding takes longer than reading what coding saves."""
        return self.decode_mb_s * (1 - self.coded_mb / self.decoded_mb)


def coded_mb(shape: ModelShape, whole: Prediction, bits: float | None) -> float:
    """The file with its weights coded. whole: the prediction without coding."""
    narrow_mb = narrow_weights(shape) / 1e6
    scales_mb = 0.0 if bits is None else _equal_scales_mb(shape)
    coded_bits = FINE_BITS * _OVERHEAD if bits is None else bits * _OVERHEAD + max(_FEW_BITS - bits, 0.0) * _MORE_BITS
    return max(whole.file_mb - narrow_mb - scales_mb, 0.0) + narrow_mb * coded_bits / 8


def _few_values_mb(shape: ModelShape, whole: Prediction, weights: WeightKind, codec: CodecName) -> float:
    """Scales differ from channel to channel, and stay as they are."""
    return whole.file_mb - narrow_weights(shape) / 1e6 * (1 - _CODES[weights][codec] / 8)


def bits_within(shape: ModelShape, whole: Prediction, file_mb: float) -> float:
    """The bits a weight by which the coded file keeps to a budget, rounded down to a tenth."""
    narrow_mb = narrow_weights(shape) / 1e6
    rest_mb = max(whole.file_mb - narrow_mb - _equal_scales_mb(shape), 0.0)
    return min(int((file_mb * _ROOM - rest_mb) / (narrow_mb * _OVERHEAD) * 80) / 10, _MOST_BITS)


def _equal_scales_mb(shape: ModelShape) -> float:
    """Of a coarse grid, whose scales are equal all over a matrix, so that coded they take next to nothing: of a table's rows, and of a
    decoder's blocks, which make up a ninth of its file. Its positions have none, as they stay in float."""
    if not shape.decodes:
        return shape.vocab * _SCALE_BYTES / 1e6
    positions = shape.positions * shape.family.position_table * shape.embedding
    return (narrow_weights(shape) - positions) / BLOCK * _SCALE_BYTES / 1e6


def ways(
    shape: ModelShape, whole: Prediction, profile: Profile, bits: float | None, codec: CodecName, weights: WeightKind | None = None
) -> Ways:
    """whole: the prediction of the same file without coding."""
    file_mb = coded_mb(shape, whole, bits) if weights is None else _few_values_mb(shape, whole, weights, codec)
    cores = 1 + (profile.cpu.cores - 1) * _PARALLEL
    decode_ms = whole.file_mb / (_DECODE_MB_S[codec] * profile.cpu.clock_ghz / _FIT_GHZ * cores) * 1e3
    read_ms = file_mb / profile.storage.read_mb_s * 1e3
    session_ms = max(whole.load_ms - min(whole.file_mb, whole.read_mb) / profile.storage.read_mb_s * 1e3, 0.0)
    stream: dict[str, Any] = {"load_ms": round(read_ms + decode_ms + session_ms, 1), "ram_mb": round(whole.ram_mb + whole.file_mb, 1)}
    size = {"file_mb": round(file_mb, 2)}
    hash_mb_s = _FAST_HASH_MB_S if profile.cpu.arch == "x86_64" or "aes" in profile.cpu.isa else _HASH_MB_S
    hash_ms = whole.file_mb / (hash_mb_s * profile.cpu.clock_ghz / _FIT_GHZ) * 1e3
    expand = {"load_ms": round(whole.file_mb / profile.storage.read_mb_s * 1e3 + hash_ms + session_ms, 1)}  # all of it is read and checked
    return Ways(file_mb, whole.file_mb, decode_ms, whole.model_copy(update=stream | size), whole.model_copy(update=expand | size))


def chosen_start(options: Ways, budget: Budget, wished: StartName | None) -> StartName:
    """`stream` where it loads no slower and keeps to the budgets of memory and load; else `expand`."""
    if wished is not None:
        return wished
    fits = all(
        limit is None or value <= limit
        for value, limit in ((options.stream.ram_mb, budget.ram_mb), (options.stream.load_ms, budget.load_ms))
    )
    return "stream" if fits and options.stream.load_ms <= options.expand.load_ms else "expand"


def predicted(options: Ways, start: StartName) -> Prediction:
    return options.stream if start == "stream" else options.expand


def coding_of(recipe: Recipe, profile: Profile, budget: Budget, options: Ways, bits: float | None) -> Coding:
    """The record of a plan, with its reasons."""
    start = chosen_start(options, budget, recipe.start)
    codec: CodecName = recipe.codec or "deflate"
    why = f"{_why_coded(recipe, budget, options, bits)} {_why_start(recipe, profile, budget, options, start)}"
    why += _why_codec(recipe, options, start)
    return Coding(codec=codec, start=start, bits=bits, weights=recipe.weights, why=why)


def _why_coded(recipe: Recipe, budget: Budget, options: Ways, bits: float | None) -> str:
    size = f"{options.coded_mb:.1f} MB in place of {options.decoded_mb:.1f}"
    if recipe.bits is not None:
        return f"You asked for {recipe.bits:g} bits a weight: {size}, at the same speed once they are decoded."
    if recipe.weights is not None:
        return f"You asked for {recipe.weights} weights: {size}, at the same speed once they are decoded."
    if bits is None:
        return f"You asked for coded weights: {size}."
    return (
        f"int8 alone would be {options.decoded_mb:.1f} MB, over the budget of {budget.file_mb:g} MB. A grid of {bits:g} bits a weight, "
        f"coded, is {options.coded_mb:.1f} MB: the same ops at the same speed, and nothing is trained for it."
    )


def _why_start(recipe: Recipe, profile: Profile, budget: Budget, options: Ways, start: StartName) -> str:
    beside = (
        f"({options.stream.load_ms:.0f} ms, against {options.expand.load_ms:.0f} ms from "
        "weights that were decoded before): this storage reads "
        f"{profile.storage.read_mb_s:g} MB/s, and decoding pays below {options.break_even_mb_s:.0f} MB/s."
    )
    if recipe.start is not None:
        return f"You asked for --start {start} {beside}"
    if start == "stream":
        return f"Weights are decoded into memory at each start {beside}"
    once = "Weights are decoded once, into a cache on the device: decoding at each start"
    if budget.ram_mb is not None and options.stream.ram_mb > budget.ram_mb:
        return f"{once} would take {options.stream.ram_mb:.0f} MB of memory (budget {budget.ram_mb:g}) {beside}"
    return f"{once} would load slower {beside}"


def _why_codec(recipe: Recipe, options: Ways, start: StartName) -> str:
    """What the codec that was not asked for would change, where it was left open. The files are about as large."""
    if recipe.codec is not None or start != "stream":
        return ""
    saved_ms = options.decode_ms * (1 - _DECODE_MB_S["deflate"] / _DECODE_MB_S["zstd"])
    return (
        f" Modules of all platforms decode deflate. With --codec zstd it would load in {options.stream.load_ms - saved_ms:.0f} ms, "
        "but modules for Android, a JVM and the web do not decode zstd."
    )


def coarse_alone(recipe: Recipe, kind: FileKind, precisions: list[PrecisionName]) -> list[PrecisionName]:
    """Of these precisions those with a coarse grid, where the user asks for one. EdgepackError: none has it, or settings exclude it."""
    if recipe.bits is None and recipe.weights is None:
        return precisions
    flag = "--bits" if recipe.weights is None else "--weights"
    wish = f"--bits {recipe.bits:g}" if recipe.weights is None else f"--weights {recipe.weights}"
    for name, value in (("--embedding-bits 4", recipe.embedding_bits == 4), ("--sensitive", recipe.sensitive)):
        if value:
            raise EdgepackError(f"{flag} and {name} exclude one another: the grid decides for every matrix", f"leave {name} out")
    _refuse_few_values(recipe, kind)
    if recipe.bits is not None and recipe.bits <= TRAINED_BITS and not recipe.quantization_aware:
        problem = f"--bits {recipe.bits:g} by rounding alone loses too much: {TRAINED_BITS:g} bits a weight and fewer need a training"
        more = "" if kind.decodes else "give --quantization-aware too, or "
        raise EdgepackError(problem, f"{more}use at least --bits {TRAINED_BITS + 0.5:g}")
    coarse = [name for name in precisions if kind in precision_facts(name).coarse]
    if not coarse:
        what = f"{' or '.join(precisions)} in {kind.format}{' for text-generation' if kind.decodes else ''}"
        raise EdgepackError(
            f"{wish} with {what}: there is no coarse grid for it",
            f"leave {flag} out, or use --precision int8" + (" --format onnx" if kind.format != "onnx" else ""),
        )
    return coarse


def _refuse_few_values(recipe: Recipe, kind: FileKind) -> None:
    """EdgepackError where weights of few values are asked for, and no training leaves them or something else contradicts them."""
    if recipe.weights is None:
        return
    wish = f"--weights {recipe.weights}"
    if recipe.bits is not None:
        raise EdgepackError(f"{wish} and --bits exclude one another: its values are fixed, and so are their bits", "leave one of them out")
    if kind.decodes:
        raise EdgepackError(
            f"{wish} is for encoders: the weights of a text-generation model are trained in blocks of 4 bits alone",
            "leave it out, or use --precision int4",
        )
    if recipe.weights == "binary" and recipe.prune_weights:
        raise EdgepackError(f"{wish} has no zero, and --prune-weights asks for zeros", "use --weights ternary, or leave one of them out")
    if not recipe.quantization_aware:
        raise EdgepackError(f"{wish} by rounding alone leaves nothing of the model: it needs a training", "give --quantization-aware too")


def refuse_idle_start(recipe: Recipe, coding: Coding | None) -> None:
    """EdgepackError where the user says how to start with coded weights, and none are coded."""
    if recipe.start is not None and coding is None:
        raise EdgepackError(
            f"--start {recipe.start} changes nothing: the weights are not coded",
            "give --bits, --weights or --codec too, or leave --start out",
        )
