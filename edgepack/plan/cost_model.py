"""What a model would cost on a device, before anything is built: parameters, file, memory, latency, load time.

Every result is a prediction from counted operations, bytes and the profile's speeds, never a measurement. What a
runtime costs beside its products stands in its file in runtimes/. The constants are fitted on one x86 core with AVX512-VNNI
(benchmarks/prediction.py); how far they carry to another device is not known before somebody measures there.
"""

from typing import NamedTuple

from edgepack.plan.file_size import bytes_in_table, predict_file_mb, products
from edgepack.plan.formats import FORMATS
from edgepack.plan.precision import FileKind, exported_precision, precision_facts
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import PrecisionName, Profile
from edgepack.plan.runtime import Costs, Format, costs_of
from edgepack.plan.shape import LayerShape, ModelShape

_TFLITE_CACHE = 1024  # tokens that a decoder's cache in TFLite holds where nothing longer is asked for: its length is fixed

_FIT_GHZ = 3.5  # clock of the core that the constants here and those of runtimes/ were fitted on
_MATMUL_EFFICIENCY = 0.72  # of the peak that macs_per_cycle states
_PARALLEL_SHARE = 0.9  # Amdahl: share of an inference that more cores make faster
_BANDWIDTH_SHARE = 0.5  # of the data sheet's, that reading weights reaches
_CACHED_MB = 5.0  # weights of such a size are read half from the CPU's caches
_PACKING_MS_PER_MB = 0.13  # of each inference where the session did not: MiniLM in int8, 1.2 ms at 16 tokens and 1.6 at 128
_BLOCK_SHARE = 0.105  # of int8's products a cycle: what MatMulNBits does with a single token, which it unpacks weight by weight
_TFLITE_DECODER_MB = 4.0  # a session's own, beside the file and its packed matrices

_ROWS_ALONE = LayerShape(heads=0, ffn=0)  # a table's rows are fetched and added up: as much as a layer does beside its products


class Run(NamedTuple):
    """One inference: `tokens` new ones, each attending to `length`."""

    tokens: int
    length: int
    cores: int


def predict(
    shape: ModelShape,
    precision: PrecisionName,
    profile: Profile,
    runtime: str,
    length: int,
    embedding_bits: int = 8,
    prepack: bool = True,
) -> Prediction:
    """The predicted cost on a device: MB of file and memory, ms of latency (p90 at `length` tokens, all cores) and of a cold load."""
    format = FORMATS[runtime]
    file_mb = predict_file_mb(shape, precision, embedding_bits, format)
    tokens, decoder = (1, True) if shape.decodes else (length, False)
    attended = held_positions(shape.positions, length + 1) if decoder and format == "tflite" else length

    def latency_ms(tokens: int, cores: int) -> float:
        ms = _latency_ms(shape, precision_facts(precision).computed_in, profile, runtime, Run(tokens, attended, cores))
        return round(ms if prepack else ms + _PACKING_MS_PER_MB * linear_mb * _FIT_GHZ / profile.cpu.clock_ghz, 2)

    linear_mb = _linear_mb(shape, precision_facts(precision).computed_in, format)
    read_mb = _read_mb(shape, precision, file_mb, format)
    costs = costs_of(runtime)
    session_ms = _session_ms(shape, costs, linear_mb * prepack) * profile.runtimes[runtime].session_scale * _FIT_GHZ / profile.cpu.clock_ghz
    return Prediction(
        params=shape.params,
        file_mb=round(file_mb, 2),
        ram_mb=round(_ram_mb(shape, precision, file_mb, runtime, Run(length, attended, 1)), 1),
        latency_ms=latency_ms(tokens, profile.cpu.cores),
        latency_one_core_ms=latency_ms(tokens, 1),
        load_ms=round(read_mb / profile.storage.read_mb_s * 1e3 + session_ms, 1),
        length=length,
        read_mb=round(read_mb, 2),
        first_token_ms=latency_ms(length, profile.cpu.cores) if decoder else None,
        mean_error=_mean_error(shape, costs),
    )


def _mean_error(shape: ModelShape, costs: Costs) -> dict[str, float] | None:
    """Nobody has compared a table's predictions with a measurement."""
    if shape.family.is_table:
        return None
    return costs.mean_error_of_decoders if shape.decodes else costs.mean_error_of_encoders


def _read_mb(shape: ModelShape, precision: PrecisionName, file_mb: float, format: Format) -> float:
    """What a session reads of the file as it opens. An encoder's tables are mapped, and read row by row as texts ask for them."""
    if format == "tflite":
        return file_mb
    if shape.decodes:
        return file_mb  # the head multiplies with the whole table
    return min(file_mb, products(shape) * precision_facts(precision).bytes_per_weight / 1e6)


def _session_ms(shape: ModelShape, costs: Costs, packed_mb: float) -> float:
    """A session's start beside reading its file: the runtime's own, the ops of each layer, and packing the matrices for the kernels."""
    return costs.session_ms + costs.session_ms_per_layer * len(shape.layers) + costs.session_ms_per_mb * packed_mb


def _ram_mb(shape: ModelShape, precision: PrecisionName, file_mb: float, runtime: str, run: Run) -> float:
    """Beside an empty runtime: matrices once, as they are packed, a decoder's table as it lies in the file too, and what is computed."""
    format, costs = FORMATS[runtime], costs_of(runtime)
    linear_mb, widest_mb = _linear_mb(shape, precision_facts(precision).computed_in, format), _widest_mb(shape, run.tokens)
    if shape.decodes:
        head_mb = _head_weights(shape) * bytes_in_table(shape, precision) / 1e6
        beside_mb = costs.session_mb + head_mb if format == "onnx" else file_mb + _TFLITE_DECODER_MB
        return linear_mb + beside_mb + widest_mb + _cache_mb(shape, run.length)
    return costs.session_mb + costs.session_mb_per_layer * len(shape.layers) + linear_mb + costs.widest_held * widest_mb


def _linear_mb(shape: ModelShape, precision: PrecisionName, format: Format) -> float:
    """Weights that are packed for the kernels: those of matrix products, a decoder's head among them."""
    layers = products(shape)
    if shape.decodes and format == "tflite":
        head = _head_weights(shape) * (1 if precision_facts(precision).is_integer else precision_facts(precision).bytes_per_weight)
        return (layers * precision_facts(precision).bytes_per_weight + head) / 1e6
    if shape.decodes:
        matrices = layers * precision_facts(precision).bytes_in_blocks(shape.hidden)
        return (matrices + _head_weights(shape) * bytes_in_table(shape, precision)) / 1e6
    return layers * precision_facts(precision).bytes_per_weight / 1e6


def _head_weights(shape: ModelShape) -> int:
    """Of a decoder's products with its vocabulary; other heads are too small to count."""
    return shape.vocab * shape.hidden if shape.decodes else 0


def _widest_mb(shape: ModelShape, length: int) -> float:
    """The widest moment of a layer: hidden states, q, k, v, attention scores and the FFN's activation, in fp32."""
    widest = max((length * (4 * shape.hidden + 2 * layer.ffn) + layer.heads * length * length for layer in shape.layers), default=0)
    widest = max(widest, length * shape.vocab if shape.vocabulary_head else 0)
    return widest * 4 / 1e6


def _cache_mb(shape: ModelShape, length: int) -> float:
    """Keys and values of all layers for `length` tokens, in fp32."""
    if not shape.decodes:
        return 0.0
    heads = sum(layer.heads for layer in shape.layers) // shape.kv_groups
    return 2 * 4 * heads * shape.head_dim * length / 1e6


def held_positions(positions: int, *wished: int | None) -> int:
    """Tokens that a decoder's file holds room for, of so many positions; more where it is wished. In TFLite that is its cache, in ONNX
    the tables of rotations, where they are cut.
    """
    return min(positions, max(_TFLITE_CACHE, *(length for length in wished if length)))


def _latency_ms(shape: ModelShape, precision: PrecisionName, profile: Profile, runtime: str, run: Run) -> float:
    """The products and what is computed between them, on so many cores; and reading the weights, which no core makes faster."""
    speeds, costs = profile.runtimes[runtime].precisions, costs_of(runtime)
    cycles_per_ms = profile.cpu.clock_ghz * 1e6
    fp32_rate = speeds[exported_precision()].macs_per_cycle * cycles_per_ms
    # Blockwise kernels read a prompt about as fast as fp32 ones (measured on one x86 core): they save bytes, not products.
    paid = exported_precision() if FileKind(FORMATS[runtime], shape.decodes) in precision_facts(precision).in_blocks else precision
    linear_rate = speeds[paid].macs_per_cycle * cycles_per_ms * _MATMUL_EFFICIENCY
    total_ms = (_head_weights(shape) + run.tokens * shape.vocabulary_head_weights) / linear_rate  # a decoder's for the last token only
    for layer in shape.layers or (_ROWS_ALONE,):
        linear_ms = run.tokens * shape.linear_weights(layer) * shape.factor_work / linear_rate
        attention_ms = 2 * run.tokens * run.length * layer.heads * shape.head_dim / (fp32_rate * costs.attention_efficiency)
        element_macs = run.tokens * (costs.ffn_element_macs * layer.ffn * shape.ffns + costs.hidden_element_macs * shape.hidden)
        total_ms += linear_ms + attention_ms + element_macs / fp32_rate
        total_ms += costs.layer_overhead_ms * _FIT_GHZ / profile.cpu.clock_ghz
    unpacks = run.tokens == 1 and paid != precision
    shared = 1 - _PARALLEL_SHARE + _PARALLEL_SHARE / run.cores
    read_mb = _linear_mb(shape, precision, FORMATS[runtime]) + _cache_mb(shape, run.length)
    reading_ms = read_mb * read_mb / (read_mb + _CACHED_MB) / (profile.memory.bandwidth_gb_s * _BANDWIDTH_SHARE)
    return max(total_ms * shared + reading_ms, _unpacking_ms(shape, precision, profile, runtime) * shared if unpacks else 0.0)


def _unpacking_ms(shape: ModelShape, precision: PrecisionName, profile: Profile, runtime: str) -> float:
    """Of a single token by products in blocks, which unpack weight by weight."""
    speeds = profile.runtimes[runtime].precisions
    weights = sum(shape.linear_weights(layer) for layer in shape.layers) + _head_weights(shape)
    unpacked = speeds.get(precision_facts(precision).unpacked_to, speeds[exported_precision()])
    return weights / (_BLOCK_SHARE * unpacked.macs_per_cycle * profile.cpu.clock_ghz * 1e6)
