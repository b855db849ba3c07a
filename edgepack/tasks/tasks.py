"""One row per task: the class of its models, its outputs and metric, how texts become token ids and outputs become decisions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.tasks.rows import Row

_STRIDE = 64  # tokens that two windows of a long context share in question answering
_LONGEST_ANSWER = 30  # tokens
_BLOCK = 256  # tokens of running text that are scored at once in text generation


@dataclass(frozen=True)
class Features:
    """Token ids of one input. `row` is the index of the row it came from; `words` and `offsets` lead back to its text."""

    ids: list[int]
    type_ids: list[int]
    row: int
    words: tuple[int | None, ...] = ()
    offsets: tuple[tuple[int, int] | None, ...] = ()


Outputs = Sequence[np.ndarray]  # one array for each Features; its shape is in the task's row
Encode = Callable[[Any, Sequence[Row], int], list[Features]]
Decide = Callable[[Outputs, Sequence[Features], Sequence[Row]], list[Any]]


@dataclass(frozen=True)
class Task:
    """outputs: names in the exported graph; several are stacked on the last axis. per_token: outputs have a token axis.

    encode(tokenizer, rows, max_length) and decide(outputs, features, rows), one decision a row (a label id, a tuple of tag
    ids by word, an answer, a tuple of token ids; None where the task decides nothing).
    """

    name: str
    auto_class: str
    outputs: tuple[str, ...]
    metric: str
    per_token: bool
    encode: Encode
    decide: Decide


def check_tokens(features: Sequence[Features], rows: Sequence[Row]) -> None:
    """EdgepackError names the first row of which nothing is left: a tokenizer without tokens of its own makes none of an empty text."""
    for item in features:
        if not item.ids:
            raise EdgepackError(f"{rows[item.row].place}: no tokens", "drop the row, or fill in its text")


def encode_text(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """Texts, or pairs of texts, cut to `max_length` tokens as the teacher cuts them."""
    pairs = [row.text_pair for row in rows]
    second = [pair or "" for pair in pairs] if any(pair is not None for pair in pairs) else None
    encoded = tokenizer([row.text for row in rows], second, truncation=True, max_length=max_length, padding=False)
    return [Features(ids, types, index) for index, (ids, types) in enumerate(zip(encoded["input_ids"], _type_ids(encoded), strict=True))]


def _encode_apart(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """Every text by itself; the two of a pair follow one another, and are compared by their embeddings."""
    texts = [(index, text) for index, row in enumerate(rows) for text in (row.text, row.text_pair) if text is not None]
    encoded = tokenizer([text for _, text in texts], truncation=True, max_length=max_length, padding=False)
    return [Features(ids, types, row) for (row, _), ids, types in zip(texts, encoded["input_ids"], _type_ids(encoded), strict=True)]


def _type_ids(encoded: Any) -> list[list[int]]:
    return encoded["token_type_ids"] if "token_type_ids" in encoded else [[0] * len(ids) for ids in encoded["input_ids"]]


def _encode_words(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    words = [list(row.words) for row in rows]
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length, padding=False)
    return [
        Features(ids, types, index, words=tuple(encoded.word_ids(index)))
        for index, (ids, types) in enumerate(zip(encoded["input_ids"], _type_ids(encoded), strict=True))
    ]


def _encode_question(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """A question with its context; a context too long for the model becomes several overlapping windows."""
    encoded = tokenizer(
        [row.text for row in rows],
        [row.context for row in rows],
        truncation="only_second",
        max_length=max_length,
        stride=min(_STRIDE, max_length // 4),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=False,
    )
    found = []
    for index, (ids, types) in enumerate(zip(encoded["input_ids"], _type_ids(encoded), strict=True)):
        sequence = encoded.sequence_ids(index)
        offsets = tuple(span if part == 1 else None for span, part in zip(encoded["offset_mapping"][index], sequence, strict=True))
        found.append(Features(ids, types, encoded["overflow_to_sample_mapping"][index], offsets=offsets))
    return found


def _encode_blocks(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """Running text in blocks of equal length: rows are joined, because a line is no unit of meaning in prose."""
    ids = tokenizer("\n".join(row.text for row in rows), add_special_tokens=False, verbose=False)["input_ids"]
    length = min(_BLOCK, max_length)
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    step = length - len(start)
    blocks = [start + ids[at : at + step] for at in range(0, max(1, len(ids) - step + 1), step)]
    return [Features(block, [0] * len(block), row=index) for index, block in enumerate(blocks)]


def _decide_label(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[int]:
    return [int(output.argmax()) for output in outputs]


def _decide_tags(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """The tag of a word is that of its first token; words cut off get -1."""
    decisions = []
    for output, item in zip(outputs, features, strict=True):
        tags = [-1] * len(rows[item.row].words)
        best = output.argmax(axis=-1).tolist()
        for position in reversed(range(len(item.words))):
            word = item.words[position]
            if word is not None:
                tags[word] = best[position]
        decisions.append(tuple(tags))
    return decisions


def _decide_answer(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[str]:
    """The span with the highest sum of start and end logits over all windows of a row (Devlin 2019)."""
    best: list[tuple[float, str]] = [(-np.inf, "")] * len(rows)
    for output, item in zip(outputs, features, strict=True):
        inside = np.array([span is not None for span in item.offsets])
        start = np.where(inside, output[:, 0], -np.inf)
        end = np.where(inside, output[:, 1], -np.inf)
        for first in np.argsort(-start)[:20]:
            last = first + int(end[first : first + _LONGEST_ANSWER].argmax())
            score = float(start[first] + end[last])
            opening, closing = item.offsets[first], item.offsets[last]
            if opening and closing and score > best[item.row][0]:
                best[item.row] = (score, rows[item.row].context[opening[0] : closing[1]])
    return [text for _, text in best]


def _decide_next(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[tuple[int, ...]]:
    return [tuple(int(token) for token in output[:, 1]) for output in outputs]


def _decide_nothing(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[None]:
    return [None] * len(outputs)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="text-classification",
            auto_class="AutoModelForSequenceClassification",
            outputs=("logits",),  # [labels]
            metric="accuracy",
            per_token=False,
            encode=encode_text,
            decide=_decide_label,
        ),
        Task(
            name="token-classification",
            auto_class="AutoModelForTokenClassification",
            outputs=("logits",),  # [tokens, labels]
            metric="span_f1",
            per_token=True,
            encode=_encode_words,
            decide=_decide_tags,
        ),
        Task(
            name="question-answering",
            auto_class="AutoModelForQuestionAnswering",
            outputs=("start_logits", "end_logits"),  # [tokens, 2]
            metric="answer_f1",
            per_token=True,
            encode=_encode_question,
            decide=_decide_answer,
        ),
        Task(
            name="feature-extraction",
            auto_class="AutoModel",
            outputs=("sentence_embedding",),  # [hidden], the mean over the text's tokens; torch names a value inside `embedding`
            metric="cosine_to_teacher",
            per_token=False,
            encode=_encode_apart,
            decide=_decide_nothing,
        ),
        Task(
            name="text-generation",
            auto_class="AutoModelForCausalLM",
            outputs=("logits",),  # reduced to [tokens - 1, 2]: the next token's negative log-likelihood, and the likeliest token
            metric="perplexity",
            per_token=True,
            encode=_encode_blocks,
            decide=_decide_next,
        ),
    )
}
