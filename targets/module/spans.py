"""The answer to a question in a context: the best span over all windows, or none where the model may give none."""

from __future__ import annotations

import numpy as np

from .results import Answer

_BEST_STARTS, _LONGEST_ANSWER = 20, 30  # tokens, as when the model was measured


def find_answer(model, question: str, context: str) -> Answer:
    """The span with the highest sum of start and end logits over all windows (Devlin 2019); score as Answer says.

    No answer, of a model that may give none: the first token's logits, the least of all windows, are above that sum by more than the
    threshold in the manifest. The text is then empty, and the score is how probable none is beside the best span. An older pack may state
    no threshold: then there always is an answer, as when it was measured.
    """
    answers = model.manifest.get("answers") or {}
    longest = answers.get("longest", _LONGEST_ANSWER)
    best, best_sum, none = None, -np.inf, np.inf
    starts, ends = [], []
    for window in model.texts.windows(question, context):
        output = np.stack(model.run(window), axis=-1)
        none = min(none, float(output[0, 0]) + float(output[0, 1]))
        inside = np.array([span is not None for span in window.offsets])
        start, end = (np.where(inside, output[:, side], -np.inf) for side in (0, 1))
        starts.append(start[inside])
        ends.append(end[inside])
        for first in np.argsort(-start)[:_BEST_STARTS]:
            last = first + int(end[first : first + longest].argmax())
            total = float(start[first]) + float(end[last])
            if window.offsets[first] and window.offsets[last] and total > best_sum:
                best, best_sum = (window.offsets[first][0], window.offsets[last][1]), total
    if best is None:
        return Answer("", 0, 0, 0.0, False)
    threshold = answers.get("threshold") if answers.get("no_answer") else None
    if threshold is not None and none - best_sum > threshold:
        return Answer("", 0, 0, float(1 / (1 + np.exp(best_sum - none))), False)
    chance = np.exp(best_sum - _log_sum(np.concatenate(starts)) - _log_sum(np.concatenate(ends)))
    return Answer(context[best[0] : best[1]], best[0], best[1], float(chance), False)


def _log_sum(logits) -> float:
    logits = logits.astype(np.float64)
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max())
