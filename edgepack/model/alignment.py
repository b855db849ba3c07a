"""A teacher's outputs on other pieces of the same rows: what it said is kept where a tokenizer cuts a text differently."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgepack.tasks.tasks import Features, Outputs, Task


def align_outputs(
    task: Task, outputs: Outputs, features: Sequence[Features], others: Sequence[Features], new_id: Mapping[int, int]
) -> Outputs:
    """`outputs` belong to `features`; returns outputs for `others`, the same rows under a cut vocabulary, with the same decisions.

    One output a row stays as it is. Tags follow the words, answers the places in the text where they begin and end. For next
    tokens, whose ids `new_id` renumbers, there is an answer only where all pieces stayed: else the result is empty.
    """
    match task.name:
        case "token-classification":
            return [_by_word(output, item, other) for output, item, other in zip(outputs, features, others, strict=True)]
        case "question-answering":
            return _by_place(outputs, features, others)
        case "text-generation":
            same = [[new_id.get(index) for index in item.ids] for item in features] == [other.ids for other in others]
            return [_renumbered(output, new_id) for output in outputs] if same else []
    return outputs


def _by_word(output: np.ndarray, item: Features, other: Features) -> np.ndarray:
    """The output of a word's first token goes to all its new tokens; zeros for a word that was cut off before."""
    if item.words == other.words:
        return output
    first = {word: position for position, word in reversed(list(enumerate(item.words)))}
    nothing = np.zeros_like(output[0])
    return np.stack([output[first[word]] if word in first else nothing for word in other.words])


def _by_place(outputs: Outputs, features: Sequence[Features], others: Sequence[Features]) -> Outputs:
    """A start belongs to the character where its token starts, an end to the one where it ends; elsewhere the row's lowest."""
    if [(item.row, item.offsets) for item in features] == [(item.row, item.offsets) for item in others]:
        return outputs
    places: dict[tuple[int, int, int], float] = {}
    lowest: dict[int, float] = {}
    for output, item in zip(outputs, features, strict=True):
        lowest[item.row] = min(lowest.get(item.row, np.inf), float(output.min()))
        for values, span in zip(output, item.offsets, strict=True):
            for end in (0, 1) if span else ():
                key = (item.row, end, span[end])
                places[key] = max(places.get(key, -np.inf), float(values[end]))
    return [
        np.array(
            [[places.get((other.row, end, span[end]), low) if span else low for end in (0, 1)] for span in other.offsets], dtype=np.float32
        )
        for other in others
        for low in (lowest[other.row],)
    ]


def _renumbered(output: np.ndarray, new_id: Mapping[int, int]) -> np.ndarray:
    renumbered = output.copy()
    renumbered[:, 1] = [new_id.get(int(index), -1) for index in output[:, 1]]
    return renumbered
