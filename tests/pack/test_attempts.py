"""Which of the attempts to quantize is shipped."""

import pytest

from edgepack.pack.attempts import Attempt, best_attempt


def attempts(*judged):
    """Of (passed, score_drop, cosine_bound) each, from the narrowest to the widest."""
    unknown = dict.fromkeys(("score", "float_score", "cosine", "least_cosine", "flip_share", "ece", "float_ece", "limit"))
    return [
        Attempt(
            **unknown, recipe=str(number), precision="int8", file_mb=20.0 + number, products={}, texts=50, details={},
            passed=passed, score_drop=drop, cosine_bound=bound, least_mean_cosine=0.998,
        )
        for number, (passed, drop, bound) in enumerate(judged)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("judged", "shipped"),
    [
        ([(True, 0.2, 0.9979), (True, 0.1, 0.9984)], "1"),  # it passed
        ([(True, 0.4, 0.9955), (True, 0.35, 0.9961), (True, 0.28, 0.9970)], "1"),  # none reaches it: three times the bytes for a little
        ([(True, 0.4, 0.9500), (True, 0.28, 0.9975)], "1"),  # none reaches it, and one is far nearer
        ([(True, 0.4, 0.9970), (True, 0.4, 0.9969)], "0"),
        ([(False, 3.0, 0.9985), (False, 2.5, 0.9990)], "1"),  # none keeps the budget: the one that loses least
        ([(False, 3.0, 0.9955), (True, 1.0, 0.9955)], "1"),
        ([(None, None, None)], "0"),
        ([(False, None, 0.9985), (False, 2.5, 0.9985)], "1"),  # what nobody has scored has not lost least
        ([(None, None, 0.9985), (True, 2.5, 0.9985)], "1"),
    ],
)
def test_bytes_that_do_not_reach_the_limit_are_not_paid_for(judged, shipped):
    assert best_attempt(attempts(*judged)).recipe == shipped
