"""A matrix of the model as factorization left it: the rank that it got, and what it was chosen by."""

from edgepack.core.records import Frozen


class FactoredMatrix(Frozen):
    """A matrix [rows, columns] of a layer, or a table (`layer` is null). rank: null where it stays whole.

    error: measured on train texts, the share of the outputs' variance that changes where this matrix alone has half of the break-even rank.
    """

    layer: int | None
    part: str
    rows: int
    columns: int
    rank: int | None
    break_even_rank: int
    error: float
