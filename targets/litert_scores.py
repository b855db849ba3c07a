"""A decoder's TFLite file as the jobs ask that know no decoder: logits of every token of a text. Needs numpy alone."""

from __future__ import annotations

import numpy as np
from protocol import Refused


def scoring(decoder):
    """run(feeds) -> [logits of every token], for the jobs that know no decoder. What a mask shows beyond the ids was read before."""

    def run(feeds) -> list:
        ids, mask = feeds["input_ids"], feeds["attention_mask"]
        before = mask.shape[1] - ids.shape[1]
        scores = None
        for row, (text, shown) in enumerate(zip(ids, mask)):
            count, decoder.length = int(shown.sum()) - before, before
            if before + count > decoder.positions:
                raise Refused(
                    "a text of {} tokens is longer than the file's cache, which holds {}".format(before + count, decoder.positions),
                    "cut the text, or build with --max-length {}".format(before + count),
                )
            logits = decoder.score([int(token) for token in text[:count]])
            if scores is None:
                scores = np.zeros((*ids.shape, logits.shape[1]), np.float32)
            scores[row, :count] = logits
        return [scores]

    return run
