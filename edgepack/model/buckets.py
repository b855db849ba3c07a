"""Chooses the sequence lengths of a file with fixed shapes: few lengths, and little padding for the given texts. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

MOST_BUCKETS = 10  # each is a graph of its own around the shared weights, and takes time to convert and to load
_FOR_TEXTS = 4  # lengths that are chosen by the data; more, up to _MOST_FOR_TEXTS, where texts are padded too much
_MOST_FOR_TEXTS = 6
_MOST_PADDED = 1.35  # times the tokens of all texts
_STEP = 8  # tokens: kernels work on so many rows at once
_SHORTEST = 16  # padding to it costs next to nothing


def choose_buckets(lengths: Sequence[int], longest: int, headline: int) -> tuple[int, ...]:
    """Lengths in rising order, such that texts of `lengths` tokens are padded least, and no text to more than twice its tokens.

    longest: what a text is cut to. headline: the length that the latency budget is for, always among them. Where no texts
    are known, the lengths are powers of two up to `longest`; else they end at the longest text, or at `headline` if that is longer.
    """
    headline = min(headline, longest)
    if not lengths:
        return _not_too_many(sorted({headline, longest, *_powers(longest)}), headline)
    last = min(longest, max(_rounded_up(max(lengths)), headline))
    return _not_too_many(_without_gaps(_least_padded(Counter(min(length, last) for length in lengths), last, headline)), headline)


def _not_too_many(lengths: Sequence[int], headline: int) -> tuple[int, ...]:
    """Without the shortest ones: what padding costs there is little beside a graph more."""
    spare = [length for length in lengths if length != headline][: max(0, len(lengths) - MOST_BUCKETS)]
    return tuple(length for length in lengths if length not in spare)


def _powers(longest: int) -> Iterator[int]:
    length = _SHORTEST
    while length < longest:
        yield length
        length *= 2


def _without_gaps(chain: tuple[int, ...]) -> tuple[int, ...]:
    """Between two lengths more than a factor of two apart stand halves of the longer one: a device may see other texts than the data's."""
    filled = set(chain)
    for shorter, longer in pairwise((_STEP, *(max(length, _STEP) for length in chain))):
        half = _rounded_up(-(-longer // 2))
        while half > shorter and half not in filled:
            filled.add(half)
            half = _rounded_up(-(-half // 2))
    return tuple(sorted(filled))


def _least_padded(counts: Counter[int], last: int, headline: int) -> tuple[int, ...]:
    """The chain of lengths that costs least: cost[n][b] is the tokens computed for all texts up to b with n buckets, b the last."""
    candidates = sorted({*range(_STEP, last, _STEP), headline, last})
    tokens = sum(length * count for length, count in counts.items())
    best: dict[int, tuple[int, tuple[int, ...]]] = {end: (end * _within(counts, 0, end), (end,)) for end in candidates}
    for size in range(2, _MOST_FOR_TEXTS + 1):
        if size > _FOR_TEXTS and best[last][0] <= _MOST_PADDED * tokens:
            break
        longer = dict(best)
        for end in candidates:
            for before, (cost, chain) in best.items():
                if before < end and (total := cost + end * _within(counts, before, end)) < longer[end][0]:
                    longer[end] = (total, (*chain, end))
        best = longer
    return tuple(sorted({*best[last][1], headline}))


def _within(counts: Counter[int], above: int, up_to: int) -> int:
    return sum(count for length, count in counts.items() if above < length <= up_to)


def _rounded_up(length: int) -> int:
    return -(-length // _STEP) * _STEP
