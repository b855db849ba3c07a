"""Chooses the sequence lengths of a file with fixed shapes: few lengths, and little padding for the given texts. Pure."""

from collections import Counter
from collections.abc import Sequence

MOST_BUCKETS = 4  # each is a graph of its own around the shared weights, and takes time to convert and to load
_STEP = 8  # tokens: kernels work on so many rows at once


def choose_buckets(lengths: Sequence[int], longest: int, headline: int) -> tuple[int, ...]:
    """Up to four lengths in rising order, such that texts of `lengths` tokens are padded least.

    longest: what a text is cut to. headline: the length that the latency budget is for, always among them. Where no texts
    are known, the lengths halve from `longest` down; else they end at the longest text, or at `headline` if that is longer.
    """
    headline = min(headline, longest)
    if not lengths:
        halves = [longest // 2**power for power in range(MOST_BUCKETS - 1) if longest // 2**power >= _STEP]
        return tuple(sorted({headline, *halves}))
    last = min(longest, max(_rounded_up(max(lengths)), headline))
    return _least_padded(Counter(min(length, last) for length in lengths), last, headline)


def _least_padded(counts: Counter[int], last: int, headline: int) -> tuple[int, ...]:
    """The chain of lengths that costs least: cost[n][b] is the tokens computed for all texts up to b with n buckets, b the last."""
    candidates = sorted({*range(_STEP, last, _STEP), headline, last})
    best: dict[int, tuple[int, tuple[int, ...]]] = {end: (end * _within(counts, 0, end), (end,)) for end in candidates}
    for _ in range(MOST_BUCKETS - 1):
        longer = dict(best)
        for end in candidates:
            for before, (cost, chain) in best.items():
                if before < end and (total := cost + end * _within(counts, before, end)) < longer[end][0]:
                    longer[end] = (total, (*chain, end))
        best = longer
    chain = best[last][1]
    if headline in chain:
        return chain
    lengths = chain if len(chain) < MOST_BUCKETS else _without_least_useful(counts, chain)
    return tuple(sorted({*lengths, headline}))


def _without_least_useful(counts: Counter[int], chain: tuple[int, ...]) -> tuple[int, ...]:
    """One bucket less, never the last: its texts move up to the next."""

    def added(index: int) -> int:
        before = chain[index - 1] if index else 0
        return (chain[index + 1] - chain[index]) * _within(counts, before, chain[index])

    least = min(range(len(chain) - 1), key=added)
    return (*chain[:least], *chain[least + 1 :])


def _within(counts: Counter[int], above: int, up_to: int) -> int:
    return sum(count for length, count in counts.items() if above < length <= up_to)


def _rounded_up(length: int) -> int:
    return -(-length // _STEP) * _STEP
