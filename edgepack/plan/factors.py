"""Ranks of matrices that become two smaller ones: what saves weights, and what a share leaves. Pure."""

from collections.abc import Sequence

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.precision import BLOCK
from edgepack.plan.recipe import FactorKind, Recipe
from edgepack.plan.shape import LayerShape, ModelShape

RANK_STEP = 8  # ranks are multiples of a kernel's block
_RANKS_IN_BLOCKS = 4  # whole blocks of inputs are worth it where a matrix has so many ranks to choose from
_TENSOR_PARTS = 2  # of rows and of columns: each core is used once for each part


class Factor(Frozen):
    """A matrix [rows, columns] as two products through `rank` numbers.

    path: of the module in the model. table: it is the embedding table.
    """

    path: str
    kind: FactorKind
    rows: int
    columns: int
    rank: int
    table: bool = False

    @property
    def weights(self) -> int:
        return self.rank * (self.rows + self.columns)


def break_even_rank(rows: int, columns: int) -> int:
    """The smallest rank at which two matrices hold as many weights as one: m n / (m + n). A tensor's two cores hold as many."""
    return -(-rows * columns // (rows + columns))


def rank_step(rows: int, columns: int, decodes: bool) -> int:
    """What a matrix's rank is a multiple of.

    A decoder's file stores a product in blocks of its inputs. The second of two products reads `rank` inputs: a block that they do not
    fill takes the bytes of a whole one in ONNX, and has TFLite keep 8 bits for 4. So ranks are whole blocks, of the widest that a file
    may have, except where that would leave a small matrix hardly a choice.
    """
    limit = break_even_rank(rows, columns)
    blocks = (2 * BLOCK, BLOCK) if decodes else ()
    return next((block for block in blocks if limit > _RANKS_IN_BLOCKS * block), RANK_STEP)


def factor_work(kind: FactorKind | None) -> float:
    """Multiplications for each weight: the cores of a tensor are used for each of the parts that their matrix is cut into."""
    return _TENSOR_PARTS if kind == "tensor" else 1.0


def rank_for(rows: int, columns: int, fraction: float, step: int = RANK_STEP) -> int:
    """The rank that leaves 1 - `fraction` of the weights, in whole steps."""
    return round((1 - fraction) * rows * columns / (rows + columns) / step) * step


def matrices_of(shape: ModelShape) -> list[tuple[int, int]]:
    """[rows, columns] of the layers' matrices, and of the table of tokens where nothing else reads it. Those out of attention and FFN
    are as large as one of those into them."""
    sizes = {matrix for layer in shape.stored_layers for matrix in _matrices_in(shape, layer)}
    return sorted(sizes | ({(shape.vocab, shape.embedding)} if not shape.family.causal else set()))


def _matrices_in(shape: ModelShape, layer: LayerShape) -> set[tuple[int, int]]:
    """A family may have query, key and value stacked in one matrix, or both ways into a gated FFN."""
    family, inside = shape.family, shape.bottleneck or shape.hidden
    width = layer.heads * shape.head_dim
    kv_width = width // shape.kv_groups
    ways = len(family.ffn_in) // len(set(family.ffn_in))
    attention = {(width + 2 * kv_width, inside)} if family.query == family.value else {(width, inside), (kv_width, inside)}
    return {(ways * layer.ffn, inside)} | (attention if width else set())


def check_factors(recipe: Recipe, shape: ModelShape) -> None:
    """EdgepackError: a share by which no matrix gets smaller, or that leaves nothing of one; a kind without a share."""
    fraction = recipe.factorize
    if fraction is None:
        if recipe.factorize_by is not None:
            raise EdgepackError(f"--factorize-by {recipe.factorize_by} changes nothing without --factorize", "give --factorize 50% too")
        return
    if recipe.data is None:
        raise EdgepackError(f"--factorize {fraction:.0%} needs texts to measure the matrices on", "give --data")
    rows, columns = max(matrices_of(shape), key=lambda matrix: break_even_rank(*matrix))
    step = rank_step(rows, columns, shape.decodes)
    limit, rank = break_even_rank(rows, columns), rank_for(rows, columns, fraction, step)
    matrix = f"a matrix of {rows} x {columns}"
    if rank >= limit:
        raise EdgepackError(
            f"--factorize {fraction:.1%} would need rank {rank} of {matrix}, and two matrices are smaller than one "
            f"only below rank {limit}, which is m n / (m + n)",
            "give a larger share, or leave it out",
        )
    if rank < step:
        raise EdgepackError(
            f"--factorize {fraction:.1%} leaves {matrix} no rank: ranks are multiples of {step}, and two matrices are "
            f"smaller than one below rank {limit}",
            "give a smaller share, or prune instead",
        )


def factored_shape(shape: ModelShape, factors: Sequence[Factor]) -> ModelShape:
    """The shape of a model whose matrices are two products, for what it costs."""
    table = 0 if shape.family.causal else shape.vocab * shape.embedding
    whole = sum(shape.linear_weights(layer) - shape.ways_in_and_out for layer in shape.stored_layers) + table
    saved = sum(factor.rows * factor.columns - factor.weights for factor in factors)
    work = max((factor_work(factor.kind) for factor in factors), default=1.0)
    return shape.model_copy(update={"factorized": round(max(0.0, saved / whole), 6), "factor_work": work})
