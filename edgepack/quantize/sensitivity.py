"""Chooses the matrix products that lose most in a narrow precision, so that they stay wider. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgepack.pack.attempts import Sensitive

_SENSITIVE_SHARE = 0.5  # of the products' errors: what the most sensitive ones, left wider, should take away


@dataclass(frozen=True)
class Sensitivity:
    """The error that one group of products makes by itself in a narrow precision. name: the module of the first."""

    name: str
    weights: tuple[str, ...]
    params: int
    error: float


def most_sensitive(scanned: Sequence[Sensitivity], count: int | None = None) -> list[Sensitivity]:
    """The first `count`; without a count the fewest that make half of the error, and a quarter of the groups at most."""
    if count is not None:
        return list(scanned[:count])
    sensitive: list[Sensitivity] = []
    total = sum(group.error for group in scanned)
    while len(sensitive) < max(1, len(scanned) // 4) and sum(group.error for group in sensitive) < _SENSITIVE_SHARE * total:
        sensitive.append(scanned[len(sensitive)])
    return sensitive


def more_and_more(scanned: Sequence[Sensitivity], count: int | None = None) -> Iterator[list[Sensitivity]]:
    """`most_sensitive`, and before it its first, its first two, its first four and so on: each product in float costs bytes and time.

    With a count that alone: the user knows what they want.
    """
    most = most_sensitive(scanned, count)
    lengths = [] if count is not None else [2**power for power in range(len(most)) if 2**power < len(most)]
    yield from (most[:length] for length in [*lengths, len(most)])


def sensitivity_records(scanned: Sequence[Sensitivity], sensitive: Sequence[Sensitivity]) -> tuple[Sensitive, ...]:
    """What the report shows of a scan. sensitive: the groups that stay wider."""
    return tuple(Sensitive(name=group.name, params=group.params, error=group.error, is_wider=group in sensitive) for group in scanned)
