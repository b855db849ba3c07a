"""What a model would cost on a device, before anything is built: parameters, file, memory, latency, load time.

Every result is a prediction from counted operations, bytes and the profile's speeds, never a measurement. The constants
are fitted to onnxruntime 1.31 on one x86 core (Zen 3; MiniLM-L6, for load and memory smaller models too, for decoding a Llama);
how far they carry to another device is not known before somebody measures there.
"""

from typing import Literal, NamedTuple

from edgepack.core.records import Frozen
from edgepack.plan.formats import FORMATS
from edgepack.plan.precision import BLOCK, FileKind, exported_precision, precision_facts
from edgepack.plan.profile import PrecisionName, Profile
from edgepack.plan.runtime import Format, runtime_facts
from edgepack.plan.shape import ModelShape

_MOST_TURNS = 8192  # positions in a decoder's rotation tables
_GRAPH_MB_A_LAYER = 0.005
_TFLITE_CACHE = 1024  # tokens that a decoder's cache in TFLite holds where nothing longer is asked for: its length is fixed
_TFLITE_GRAPH_MB_A_LAYER = 0.055  # three graphs, and the scales of int8

_FIT_GHZ = 3.5  # clock of the core that the constants below were fitted on
_MATMUL_EFFICIENCY = 0.72  # of the peak that macs_per_cycle states
_ATTENTION_EFFICIENCY = 0.36  # fp32 products with softmax between them
_FFN_ELEMENT_MACS = 65  # an activation (GELU) costs about as much as this many fp32 products
_HIDDEN_ELEMENT_MACS = 140  # residual additions, norms and input quantization, by hidden element and layer
_LAYER_OVERHEAD_MS = 0.08  # dispatch of a layer's ops
_PARALLEL_SHARE = 0.9  # Amdahl: share of an inference that more cores make faster
_BANDWIDTH_SHARE = 0.5  # of the data sheet's, that reading weights reaches
_SESSION_MS = 8.0  # beside packing, where the files are in memory
_COLD_MS = 19.0  # more where they are not: the storage is asked many times for little
_SESSION_MS_PER_MB = 0.9  # packing the matrices for the kernels
_PACKING_MS_PER_MB = 0.13  # of each inference where the session did not: MiniLM in int8, 1.2 ms at 16 tokens and 1.6 at 128
_GRAPH_MB = 0.06  # the graph beside its weights, by layer less than 0.01
_TFLITE_SESSION_MB = 4.0
_SESSION_MB = 17.0  # of onnxruntime's own: pages of its library that a session touches, its arenas
_BLOCK_SHARE = 0.105  # of int8's products a cycle: what MatMulNBits does with a single token, which it unpacks weight by weight


# Of held-out models with onnxruntime on the CPU that the constants are fitted on (benchmarks/prediction.py); nobody has measured how
# far off predictions for other CPUs are, or for LiteRT.
MEAN_ERROR_OF_ENCODERS = {"latency_ms": 0.17, "load_ms": 0.18, "ram_mb": 0.03, "file_mb": 0.001}
MEAN_ERROR_OF_DECODERS = {"latency_ms": 0.19, "load_ms": 0.16, "ram_mb": 0.03, "file_mb": 0.002}


# Of times, also where nobody has measured how far off they are: it is no less there. A part of it is far inside the error.
_TIMES_ARE_OFF = {name: MEAN_ERROR_OF_ENCODERS[name] for name in ("latency_ms", "load_ms")}
_FAR_INSIDE = 0.25


_COMPARED_ENCODERS, _COMPARED_DECODERS = (4.4e6, 67e6), (32e6, 35e6)  # parameters of the models there
_COMPARED_TOKENS = (16, 128)
_FAR = 4  # times beyond them


class Run(NamedTuple):
    """One inference: `tokens` new ones, each attending to `length`."""

    tokens: int
    length: int
    cores: int


class Prediction(Frozen):
    """Predicted cost on a device, on one core and on all of them.

    latency_ms: one inference of `length` tokens; of a decoder, which is waited for token by token, one token behind `length` others.
    first_token_ms, of a decoder: from a prompt of `length` tokens to the first token behind it. ram_mb: at `length` too.
    mean_error: shares by which such predictions were off on one x86 CPU, for models that they were not fitted on; None: not known.
    """

    params: int
    file_mb: float
    ram_mb: float
    latency_ms: float
    latency_one_core_ms: float
    load_ms: float
    length: int
    first_token_ms: float | None = None
    mean_error: dict[str, float] | None = None
    read_mb: float = 0.0  # of the file, that a session reads as it opens
    origin: str = "predicted"

    def doubt(self) -> str:
        """How far to trust it, in one or two sentences."""
        if self.mean_error is None:
            return "Nobody has measured how far off predictions are for this runtime." + self._far_from_what_was_compared()
        names = [name for name in ("latency_ms", "load_ms", "ram_mb") if name in self.mean_error]
        errors = ", ".join(f"{name} {self.mean_error[name]:.0%}" for name in names)
        return (
            f"On one x86 CPU, predictions for models that they were not fitted on were off by {errors} on average. "
            "Nobody has measured how far off they are on other CPUs." + self._far_from_what_was_compared()
        )

    def error_of(self, name: str) -> float | None:
        """The share by which such a figure is off on average. None: not known, also for a model far from those that were compared."""
        if self.mean_error is None or (name != "file_mb" and self._far_from_what_was_compared()):
            return None
        return self.mean_error.get(name)

    def _far_from_what_was_compared(self) -> str:
        """A sentence for a model or a text of another size than those whose predictions were compared with a measurement."""
        low, high = _COMPARED_ENCODERS if self.first_token_ms is None else _COMPARED_DECODERS
        if not low / _FAR <= self.params <= high * _FAR:
            return (
                f" They were compared for models of {low / 1e6:g} to {high / 1e6:g} million parameters; this one has "
                f"{self.params / 1e6:.2g} million, so its figures may be off several times over."
            )
        shortest, longest = _COMPARED_TOKENS
        if not shortest / _FAR <= self.length <= longest * _FAR:
            return (
                f" They were compared for texts of {shortest} to {longest} tokens; these are for {self.length}, so they may be off "
                "several times over."
            )
        return ""

    def fits(self, name: str, limit: float) -> Literal["yes", "likely", "unlikely", "no"]:
        """Whether the figure keeps to a limit; sure only where it is farther from it than such predictions are off on average."""
        value, error = getattr(self, name), self.error_of(name)
        if error is not None and value * (1 + error) <= limit:
            return "yes"
        if error is not None and value * (1 - error) > limit:
            return "no"
        return "likely" if nearly_within(name, value, limit) else "unlikely"


def nearly_within(name: str, value: float, limit: float) -> bool:
    """Whether a predicted figure keeps to a limit, or exceeds it by far less than such predictions are off: that decides nothing."""
    return value <= limit * (1 + _FAR_INSIDE * _TIMES_ARE_OFF.get(name, 0.0))


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
    attended = tflite_cache(shape.positions, length + 1) if decoder and format == "tflite" else length

    def latency_ms(tokens: int, cores: int) -> float:
        ms = _latency_ms(shape, precision_facts(precision).computed_in, profile, runtime, Run(tokens, attended, cores))
        return round(ms if prepack else ms + _PACKING_MS_PER_MB * linear_mb * _FIT_GHZ / profile.cpu.clock_ghz, 2)

    linear_mb = _linear_mb(shape, precision_facts(precision).computed_in, format)
    read_mb = _read_mb(shape, precision, file_mb, format)
    session_ms = (_SESSION_MS + _COLD_MS + _SESSION_MS_PER_MB * linear_mb * prepack) * _FIT_GHZ / profile.cpu.clock_ghz
    return Prediction(
        params=shape.params,
        file_mb=round(file_mb, 2),
        ram_mb=round(_held_mb(shape, precision, file_mb, format) + _activation_mb(shape, length, attended), 1),
        latency_ms=latency_ms(tokens, profile.cpu.cores),
        latency_one_core_ms=latency_ms(tokens, 1),
        load_ms=round(read_mb / profile.storage.read_mb_s * 1e3 + session_ms, 1),
        length=length,
        read_mb=round(read_mb, 2),
        first_token_ms=latency_ms(length, profile.cpu.cores) if decoder else None,
        mean_error=None if not runtime_facts(runtime).is_fitted else MEAN_ERROR_OF_DECODERS if decoder else MEAN_ERROR_OF_ENCODERS,
    )


def _read_mb(shape: ModelShape, precision: PrecisionName, file_mb: float, format: Format) -> float:
    """What a session reads of the file as it opens. An encoder's tables are mapped, and read row by row as texts ask for them."""
    if format == "tflite":
        return file_mb
    if shape.decodes:
        return file_mb  # the head multiplies with the whole table
    return min(file_mb, _products(shape) * precision_facts(precision).bytes_per_weight / 1e6)


def _held_mb(shape: ModelShape, precision: PrecisionName, file_mb: float, format: Format) -> float:
    """Weights in memory beside the runtime's own: matrices once, as they are packed; a decoder's table as it lies in the file too."""
    linear_mb = _linear_mb(shape, precision_facts(precision).computed_in, format)
    if format == "tflite":
        return file_mb + linear_mb + _TFLITE_SESSION_MB
    head_mb = _head_weights(shape) * _embedding_bytes(precision, 8, BLOCK) / 1e6
    return linear_mb + head_mb + _SESSION_MB


def tflite_cache(positions: int, *wished: int | None) -> int:
    """Tokens that the cache of a decoder's TFLite file holds, for a model with so many positions; longer where it is wished."""
    return min(positions, max(_TFLITE_CACHE, *(length for length in wished if length)))


_FLOAT_BYTES = 4  # of what the export computes ahead from weights, which integer schemes leave as it is (DeBERTa's distances)


def predict_file_mb(shape: ModelShape, precision: PrecisionName, embedding_bits: int = 8, format: Format = "onnx") -> float:
    """Weights of products and embeddings in `precision`, the rest (norms, biases) in fp32, and the graph."""
    if shape.decodes:
        return _decoder_mb(shape, precision, embedding_bits) if format == "onnx" else _tflite_decoder_mb(shape, precision)
    weights = _products(shape)
    tables = shape.token_table + shape.positions * shape.family.position_table * shape.embedding
    narrow = weights * precision_facts(precision).bytes_per_weight + tables * _embedding_bytes(
        precision, embedding_bits, 64 if embedding_bits == 4 else shape.embedding
    )
    facts = precision_facts(precision)
    distances = shape.distance_rows * (sum(2 * layer.heads * shape.head_dim for layer in shape.layers) - shape.hidden)
    computed = distances * (_FLOAT_BYTES if facts.is_integer else facts.bytes_per_weight)
    return (narrow + max(0, shape.params - weights - tables) * facts.bytes_per_weight + computed) / 1e6 + _GRAPH_MB


def _products(shape: ModelShape) -> int:
    """Weights that matrix products read: of the layers that have weights of their own, and of an encoder's head over the vocabulary."""
    return sum(shape.linear_weights(layer) for layer in shape.stored_layers) + shape.vocabulary_head_weights


def _embedding_bytes(precision: PrecisionName, bits: int, block: int) -> float:
    """Of one value of a table, which is in 8 or 4 bits wherever the products are not in fp32; `block` of them share a scale."""
    facts = precision_facts(precision)
    return bits / 8 + 4 / block if facts.is_integer else facts.bytes_per_weight


def _decoder_mb(shape: ModelShape, precision: PrecisionName, embedding_bits: int) -> float:
    """The matrices of layers in blocks, head and embeddings (once, where they are tied), norms and biases in fp32, rotation tables."""
    weights = sum(shape.linear_weights(layer) for layer in shape.layers)
    tables = shape.vocab * shape.embedding * (1 if shape.tied else 2)
    turns = 0 if shape.family.position_table else min(shape.positions, _MOST_TURNS) * shape.head_dim
    rest = shape.params - weights - tables + turns
    whole = weights * precision_facts(precision).bytes_in_blocks + tables * _embedding_bytes(precision, embedding_bits, BLOCK) + rest * 4
    return whole / 1e6 + _GRAPH_MB + _GRAPH_MB_A_LAYER * len(shape.layers)


def _tflite_decoder_mb(shape: ModelShape, precision: PrecisionName) -> float:
    """As above, but with scales for whole channels, angles that are computed, and a graph for each signature."""
    weights = sum(shape.linear_weights(layer) for layer in shape.layers)
    tables = (shape.vocab * (1 if shape.tied else 2) + shape.positions * shape.family.position_table) * shape.embedding
    rest = shape.params - weights - tables
    facts = precision_facts(precision)
    narrow = weights * facts.bytes_per_weight + tables * (1 if facts.is_integer else facts.bytes_per_weight)
    return (narrow + rest * 4) / 1e6 + _TFLITE_GRAPH_MB_A_LAYER * len(shape.layers)


def narrow_weights(shape: ModelShape) -> int:
    """Weights of products and tables, which integer precisions round; a tied head's once."""
    linear = sum(shape.linear_weights(layer) for layer in shape.stored_layers)
    heads = 1 if not shape.decodes or shape.tied else 2
    return linear + shape.token_table * heads + shape.positions * shape.family.position_table * shape.embedding


def _linear_mb(shape: ModelShape, precision: PrecisionName, format: Format) -> float:
    """Weights that are packed for the kernels: those of matrix products, a decoder's head among them."""
    layers = _products(shape)
    if shape.decodes and format == "tflite":
        head = _head_weights(shape) * (1 if precision_facts(precision).is_integer else precision_facts(precision).bytes_per_weight)
        return (layers * precision_facts(precision).bytes_per_weight + head) / 1e6
    if shape.decodes:
        return (layers * precision_facts(precision).bytes_in_blocks + _head_weights(shape) * _embedding_bytes(precision, 8, BLOCK)) / 1e6
    return layers * precision_facts(precision).bytes_per_weight / 1e6


def _head_weights(shape: ModelShape) -> int:
    """Of a decoder's products with its vocabulary; other heads are too small to count."""
    return shape.vocab * shape.hidden if shape.decodes else 0


def _activation_mb(shape: ModelShape, length: int, cached: int) -> float:
    """The widest moment of a layer: hidden states, q, k, v, attention scores and the FFN's activation, in fp32; a decoder's cache."""
    widest = max((length * (4 * shape.hidden + 2 * layer.ffn) + layer.heads * length * length for layer in shape.layers), default=0)
    widest = max(widest, length * shape.vocab if shape.vocabulary_head else 0)
    return widest * 4 / 1e6 + _cache_mb(shape, cached)


def _cache_mb(shape: ModelShape, length: int) -> float:
    """Keys and values of all layers for `length` tokens, in fp32."""
    if not shape.decodes:
        return 0.0
    heads = sum(layer.heads for layer in shape.layers) // shape.kv_groups
    return 2 * 4 * heads * shape.head_dim * length / 1e6


def _latency_ms(shape: ModelShape, precision: PrecisionName, profile: Profile, runtime: str, run: Run) -> float:
    speeds = profile.runtimes[runtime].precisions
    cycles_per_ms = profile.cpu.clock_ghz * 1e6
    fp32_rate = speeds[exported_precision()].macs_per_cycle * cycles_per_ms
    # Blockwise kernels read a prompt about as fast as fp32 ones (measured on one x86 core): they save bytes, not products.
    paid = exported_precision() if FileKind(FORMATS[runtime], shape.decodes) in precision_facts(precision).in_blocks else precision
    linear_rate = speeds[paid].macs_per_cycle * cycles_per_ms * _MATMUL_EFFICIENCY
    total_ms = (_head_weights(shape) + run.tokens * shape.vocabulary_head_weights) / linear_rate  # a decoder's for the last token only
    for layer in shape.layers:
        linear_ms = run.tokens * shape.linear_weights(layer) * shape.factor_work / linear_rate
        attention_ms = 2 * run.tokens * run.length * layer.heads * shape.head_dim / (fp32_rate * _ATTENTION_EFFICIENCY)
        element_macs = run.tokens * (_FFN_ELEMENT_MACS * layer.ffn * shape.ffns + _HIDDEN_ELEMENT_MACS * shape.hidden)
        total_ms += linear_ms + attention_ms + element_macs / fp32_rate
        total_ms += _LAYER_OVERHEAD_MS * _FIT_GHZ / profile.cpu.clock_ghz
    if run.tokens == 1 and paid != precision:
        weights = sum(shape.linear_weights(layer) for layer in shape.layers) + _head_weights(shape)
        unpacked = speeds.get(precision_facts(precision).unpacked_to, speeds[exported_precision()])
        total_ms = max(total_ms, weights / (_BLOCK_SHARE * unpacked.macs_per_cycle * cycles_per_ms))
    parallel_ms = total_ms * (1 - _PARALLEL_SHARE + _PARALLEL_SHARE / run.cores)
    read_mb = _linear_mb(shape, precision, FORMATS[runtime]) + _cache_mb(shape, run.length)
    return max(parallel_ms, read_mb / (profile.memory.bandwidth_gb_s * _BANDWIDTH_SHARE))
