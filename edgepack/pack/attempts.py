"""Records of the attempts to quantize, and how each was judged."""

from collections.abc import Sequence
from math import inf
from typing import Literal

from edgepack.core.records import Frozen
from edgepack.tasks.common.scores import Score

_NEARLY_AS_FAR = 2.0  # times the least miss


class Sensitive(Frozen):
    """What one group of products costs by itself: an encoder's in int8, squared error of the model's outputs over their variance;
    a decoder's layer in 4 bits, divergence of the next token's distribution, mean nats. is_wider: it stays in fp32, or in 8 bits."""

    name: str
    params: int
    error: float
    is_wider: bool


class InFloat(Frozen):
    """A matrix product that was left in float, as the plan says. layer: the node, named after its module."""

    op: str
    layer: str
    weights: int
    why: str


class Attempt(Frozen):
    """One way to quantize, judged. None: the rows, the task or the budget do not tell. ece: expected calibration error."""

    recipe: str
    precision: str
    file_mb: float
    products: dict[str, int]  # matrix products with a weight, by precision
    texts: int  # held-out ones that were looked at
    score: Score | None
    float_score: Score | None  # of the fp32 export on the same rows
    score_drop: float | None  # points lost to it
    limit: float | None  # the budget's
    cosine: float | None  # of the outputs with those of the fp32 export, the mean over texts
    least_cosine: float | None
    flip_share: float | None
    ece: float | None
    float_ece: float | None
    passed: bool | None
    details: dict[str, float | int | str]
    sensitivity: tuple[Sensitive, ...] = ()
    in_float: tuple[InFloat, ...] = ()
    cosine_bound: float | None = None  # what the mean cosine of further texts is at least, with 95 % confidence
    least_mean_cosine: float | None = None  # that it must reach; None: no such limit
    of_texts: int | None = None  # how many held-out texts there are, where fewer of them decided
    drop_low: float | None = None  # then, what is lost on all of them: points, each bound with 95 % confidence over all looks
    drop_high: float | None = None
    origin: Literal["measured"] = "measured"

    @property
    def below_mean(self) -> float:
        """By how much the mean cosine to the fp32 export may miss what it must reach; 0 where it does not."""
        reached = self.cosine if self.cosine_bound is None else self.cosine_bound
        return 0.0 if self.least_mean_cosine is None or reached is None else max(0.0, self.least_mean_cosine - reached)

    def verdict(self) -> str:
        lost = "" if self.score_drop is None else f"{self.score_drop:+.2f} points to the fp32 export on {self._looked_at()}"
        if self.passed is None:
            judged = lost or "not judged: there are no held-out texts with a score"
        else:
            judged = f"{lost}, limit {self.limit:g}: {'passed' if self.passed else 'failed'}"
        if not self.below_mean:
            return judged
        return f"{judged}; on other texts the mean cosine of {self.cosine:.5f} may be under {self.least_mean_cosine:g}"

    def _looked_at(self) -> str:
        if self.of_texts is None:
            return f"{self.texts} held-out texts"
        return f"{self.texts} of {self.of_texts} held-out texts (on all of them {self.drop_low:+.2f} to {self.drop_high:+.2f})"


def best_attempt(attempts: Sequence[Attempt]) -> Attempt:
    """Of attempts that grow wider, the one that is shipped.

    The one that passed; where none did, the one that loses least. Where the mean cosine alone is missed, the narrowest that misses it by
    hardly more than the widest does: bytes and time that do not reach the limit are not paid for.
    """
    passing = [attempt for attempt in attempts if attempt.passed is not False]
    if not passing:
        return min(attempts, key=lambda attempt: (attempt.below_mean, _drop(attempt)))
    least = min(attempt.below_mean for attempt in passing)
    near = [attempt for attempt in passing if attempt.below_mean <= _NEARLY_AS_FAR * least]
    return near[0] if least else min(near, key=_drop)


def _drop(attempt: Attempt) -> float:
    """Points lost, to choose by: one that is not known is no better than any other."""
    return inf if attempt.score_drop is None else attempt.score_drop
