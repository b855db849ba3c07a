"""How large a model's file becomes, before it is built: counted from its shape. Sizes are in MB (10^6 bytes)."""

from edgepack.plan.precision import precision_facts
from edgepack.plan.profile import PrecisionName
from edgepack.plan.runtime import Format
from edgepack.plan.shape import ModelShape

_MOST_TURNS = 8192  # positions in a decoder's rotation tables
_GRAPH_MB, _GRAPH_MB_A_LAYER = 0.06, 0.005  # beside its weights; an encoder's takes less than 0.01 a layer
_TFLITE_GRAPH_MB_A_LAYER = 0.055  # a decoder's three graphs, and the scales of int8
_TFLITE_MB, _TFLITE_MB_A_LAYER = 0.25, 0.02  # an encoder's graph for each of six lengths: MB in all, and for each layer
_TFLITE_INTEGER_MB, _TFLITE_INTEGER_MB_A_LAYER = 0.3, 0.065  # with the scales of its products
_FLOAT_BYTES = 4  # of what integer schemes leave as it is, such as what the export computes ahead from weights (DeBERTa's distances)


def predict_file_mb(shape: ModelShape, precision: PrecisionName, embedding_bits: int = 8, format: Format = "onnx") -> float:
    """Weights of products and embeddings in `precision`, the rest (norms, biases) in fp32, and the graph."""
    if shape.decodes:
        return _decoder_mb(shape, precision, embedding_bits) if format == "onnx" else _tflite_decoder_mb(shape, precision)
    weights = products(shape)
    tables = shape.token_table + shape.positions * shape.family.position_table * shape.embedding
    narrow = weights * precision_facts(precision).bytes_per_weight + tables * embedding_bytes(
        precision, embedding_bits, 64 if embedding_bits == 4 else shape.embedding
    )
    facts = precision_facts(precision)
    distances = shape.distance_rows * (sum(2 * layer.heads * shape.head_dim for layer in shape.layers) - shape.hidden)
    computed = distances * (_FLOAT_BYTES if facts.is_integer else facts.bytes_per_weight)
    whole = (narrow + max(0, shape.params - weights - tables) * facts.bytes_per_weight + computed) / 1e6
    return whole + (_GRAPH_MB if format == "onnx" else _tflite_beside_mb(shape, precision))


def _tflite_beside_mb(shape: ModelShape, precision: PrecisionName) -> float:
    """What a TFLite encoder holds beside its weights: a graph for each length, and positions, which are never integers.

    Each length holds its positions. How many lengths there are, only the data tell: together they are taken to be a whole table.
    """
    facts = precision_facts(precision)
    if not facts.is_integer:
        return _TFLITE_MB + _TFLITE_MB_A_LAYER * len(shape.layers)
    positions = shape.positions * shape.family.position_table * shape.embedding
    wider_mb = positions * (_FLOAT_BYTES - facts.bytes_per_weight) / 1e6
    return wider_mb + _TFLITE_INTEGER_MB + _TFLITE_INTEGER_MB_A_LAYER * len(shape.layers)


def products(shape: ModelShape) -> int:
    """Weights that matrix products read: of the layers that have weights of their own, and of an encoder's head over the vocabulary."""
    return sum(shape.linear_weights(layer) for layer in shape.stored_layers) + shape.vocabulary_head_weights


def embedding_bytes(precision: PrecisionName, bits: int, block: int) -> float:
    """Of one value of a table, which is in 8 or 4 bits wherever the products are not in fp32; `block` of them share a scale."""
    facts = precision_facts(precision)
    return bits / 8 + 4 / block if facts.is_integer else facts.bytes_per_weight


def bytes_in_table(shape: ModelShape, precision: PrecisionName, bits: int = 8) -> float:
    """Of one value of a decoder's table in ONNX, whose blocks are those of its products."""
    facts = precision_facts(precision)
    return embedding_bytes(precision, bits, facts.block_of(shape.hidden) if facts.blocks else 1)


def _decoder_mb(shape: ModelShape, precision: PrecisionName, embedding_bits: int) -> float:
    """The matrices of layers in blocks, head and embeddings (once, where they are tied), norms and biases in fp32, rotation tables."""
    weights = sum(shape.linear_weights(layer) for layer in shape.layers)
    tables = shape.vocab * shape.embedding * (1 if shape.tied else 2)
    turns = 0 if shape.family.position_table else min(shape.positions, _MOST_TURNS) * shape.head_dim * shape.family.rotation_tables
    rest = shape.params - weights - tables + turns
    matrices = weights * precision_facts(precision).bytes_in_blocks(shape.hidden)
    whole = matrices + tables * bytes_in_table(shape, precision, embedding_bits) + rest * 4
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
