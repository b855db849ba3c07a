"""token-classification: each word gets a tag, in one of the schemes that tags come in; entities are what the tags state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgepack.core.records import Frozen
from edgepack.tasks.common.calibration import calibrate, log_softmax
from edgepack.tasks.common.columns import fixed_columns, parts_of
from edgepack.tasks.common.encoding import encode_text, type_ids
from edgepack.tasks.common.library import Call, Figures, Library
from edgepack.tasks.common.losses import IGNORED, divergence, known_mean, logits_of, real_tokens, rows_mean
from edgepack.tasks.common.metrics import Answers, ClassResult, Metric, by_row, class_result, micro_f1, ratio
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.tag_schemes import SHOWN, Scheme, Span, scheme_of, spans_of, tags_of
from edgepack.tasks.common.task import Features, Outputs, Task, WordsOf

if TYPE_CHECKING:
    import torch

    from edgepack.tasks.common.scores import Calibration


@dataclass(frozen=True)
class Tags:
    """The model's labels, and their scheme. No labels: those of the data."""

    scheme: Scheme
    labels: tuple[str, ...] = ()


_IOB2 = Tags("iob2")


class TagAnswers(Frozen):
    """strategy: as transformers' aggregation_strategy. words: who finds them.

    subword_prefix: whether the tokens of a word but its first are marked. ignore: tags that are no entities.
    """

    strategy: Literal["none", "simple", "first", "average", "max"]
    scheme: Scheme
    words: Literal["tokenizer", "white-space", "characters"]
    subword_prefix: bool
    unk_id: int | None
    ignore: tuple[str, ...]

    def summary(self) -> str:
        words = {"tokenizer": "the tokenizer's", "white-space": "split at white space", "characters": "single characters"}[self.words]
        return f"tags are {SHOWN[self.scheme]}; aggregation {self.strategy}; words are {words}"


def _answers(source: Any, recipe: Any) -> TagAnswers:
    tokenizer = source.tokenizer
    return TagAnswers(
        strategy=recipe.aggregation,
        scheme=scheme_of(source.labels),
        words=recipe.words,
        subword_prefix=bool(getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)),
        unk_id=tokenizer.unk_token_id,
        ignore=("O",),
    )


def _fitted(task: Task, source: Any, recipe: Any) -> Task:
    """Metrics by the scheme of the model's tags; texts without words are read as the pack will read them."""
    tags, words = Tags(scheme_of(source.labels), source.labels), recipe.words
    return replace(
        task,
        metrics=partial(_metrics, model=tags),
        class_results=partial(_class_results, model=tags),
        alike=partial(_alike, model=tags),
        row_of_text=partial(_row_of_text, words=words),
    )


def _row_of_text(text: str, words: str = "tokenizer") -> Row | None:
    """A text for golden vectors."""
    if words == "tokenizer":
        return Row("", text=text)
    parts = tuple(text.split()) if words == "white-space" else tuple(character for character in text if not character.isspace())
    return Row("", words=parts) if parts else None


def raw_text(row: Row, answers: TagAnswers | None) -> str:
    """A row's words as running text: languages whose words are single characters put no blanks between them."""
    return ("" if answers and answers.words == "characters" else " ").join(row.words)


def _raw_texts(rows: Sequence[Row], answers: TagAnswers | None, words_of: WordsOf) -> list[tuple[Row, dict[str, Any]]]:
    """Rows of words as running text too, which a pack cuts into words by itself."""
    texts: list[tuple[Row, dict[str, Any]]] = []
    for row in rows:
        text = raw_text(row, answers)
        spans = words_of[answers.words](text) if answers and answers.words != "tokenizer" else None
        read = Row("", text=text) if spans is None else Row("", words=tuple(text[start:end] for start, end in spans))
        if row.words and (read.text or read.words):
            texts.append((read, {"text": text, "text_pair": None}))
    return texts


def _columns(first: Record, records: list[Record], wished: Mapping[str, str | None]) -> dict[str, str]:
    aliases = {"words": ("words", "tokens"), "tags": ("tags", "ner_tags", "labels")}
    return fixed_columns(first, records, aliases, "token-classification", "give CoNLL files")


def _row(place: str, value: Mapping[str, Any], group: str | None) -> Row:
    return Row(place, words=tuple(value["words"]), tags=tuple(str(tag) for tag in value["tags"]), group=group)


def _unlabelled_row(row: Row) -> Row | None:
    """A text is split into words at white space."""
    words = tuple(row.text.split())
    return Row(row.place, words=words) if words else None


def _encode(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """Words as the data states them, and texts of which nobody has made words."""
    as_words = [index for index, row in enumerate(rows) if row.words]
    features = encode_text(tokenizer, [row for row in rows if not row.words], max_length)
    as_texts = [index for index, row in enumerate(rows) if not row.words]
    features = [replace(item, row=as_texts[item.row]) for item in features]
    if as_words:
        words = [list(rows[index].words) for index in as_words]
        encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length, padding=False)
        features += [
            Features(ids, types, index, words=tuple(encoded.word_ids(at)))
            for at, (index, ids, types) in enumerate(zip(as_words, encoded["input_ids"], type_ids(encoded), strict=True))
        ]
    return sorted(features, key=lambda item: item.row)


def _decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[tuple[int, ...]]:
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


def _metrics(answers: Answers, model: Tags = _IOB2) -> tuple[Metric, ...]:
    right = [
        (sum(tag == answers.labels[name] for tag, name in zip(decision, row.tags, strict=True)), len(row.tags))
        for decision, row in zip(answers.decisions, answers.rows, strict=True)
    ]
    counts = [(len(decided & expected), len(decided), len(expected)) for decided, expected in zip(*_spans(answers, model), strict=True)]
    return by_row("span_f1", answers, micro_f1(counts)), by_row("word_accuracy", answers, ratio(right))


def _class_results(answers: Answers, model: Tags = _IOB2) -> list[ClassResult]:
    """F1 by entity type, of those that the data has."""
    sides = _spans(answers, model)
    results = []
    for kind in sorted({kind for spans in sides[1] for _, _, kind in spans}):
        decided, expected = ([{span for span in spans if span[2] == kind} for spans in side] for side in sides)
        right = sum(len(ours & theirs) for ours, theirs in zip(decided, expected, strict=True))
        results.append(class_result(kind, right, sum(map(len, decided)), sum(map(len, expected))))
    return results


def _spans(answers: Answers, model: Tags) -> tuple[list[set[Span]], list[set[Span]]]:
    """By row: those that were decided for, and those of the data."""
    names, scheme = dict(enumerate(model.labels)) or {index: name for name, index in answers.labels.items()}, model.scheme
    decided = [spans_of([names.get(tag, "O") for tag in decision], scheme) for decision in answers.decisions]
    return decided, [spans_of([names[answers.labels[tag]] for tag in row.tags], scheme) for row in answers.rows]


def _calibration(answers: Answers) -> Calibration | None:
    """Of words; None where the data has none that the model sees."""
    first_tokens = [_first_tokens(item) for item in answers.features]
    pairs = zip(answers.features, first_tokens, strict=True)
    tags = [answers.rows[item.row].tags[word] for item, positions in pairs for word in positions]
    truth = np.array([answers.labels[tag] for tag in tags])
    teacher = None if answers.teacher is None else _of_words(answers.teacher, first_tokens)
    return calibrate(_of_words(answers.outputs, first_tokens), truth, teacher, unit="words") if len(truth) else None


def _first_tokens(item: Features) -> dict[int, int]:
    """The position of each word's first token: it is the one that decides."""
    positions: dict[int, int] = {}
    for position, word in enumerate(item.words):
        if word is not None:
            positions.setdefault(word, position)
    return positions


def _of_words(outputs: Outputs, places: list[dict[int, int]]) -> np.ndarray:
    return log_softmax(np.concatenate([output[list(at.values())] for output, at in zip(outputs, places, strict=True)]))


def _hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[np.ndarray]:
    return [_first_token_tags(item, rows[item.row], labels) for item in features]


def _first_token_tags(item: Features, row: Row, labels: Mapping[str, int]) -> np.ndarray:
    tags = np.full(len(item.ids), IGNORED, dtype=np.int64)
    if row.tags:
        for word, position in _first_tokens(item).items():
            tags[position] = labels[row.tags[word]]
    return tags


def _label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """outputs: [rows, tokens, labels]; hard: [rows, tokens]."""
    return known_mean(outputs, hard)


def _soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Over the tags of each real token."""
    return rows_mean(divergence(outputs, soft, temperature), real_tokens(batch))


def _aligned(outputs: Outputs, features: Sequence[Features], others: Sequence[Features], new_id: Mapping[int, int]) -> Outputs:
    """Tags follow the words."""
    return [_by_word(output, item, other) for output, item, other in zip(outputs, features, others, strict=True)]


def _by_word(output: np.ndarray, item: Features, other: Features) -> np.ndarray:
    """The output of a word's first token goes to all its new tokens; zeros for a word that was cut off before."""
    if item.words == other.words:
        return output
    first = {word: position for position, word in reversed(list(enumerate(item.words)))}
    nothing = np.zeros_like(output[0])
    return np.stack([output[first[word]] if word in first else nothing for word in other.words])


def _served(model: Any, row: Row, labels: Mapping[str, int]) -> tuple[int, ...]:
    """Tags of the row's words by the entities that the pack finds in its running text; one that ends inside a word is no entity here."""
    stated = TagAnswers.read(model.manifest["answers"], "the pack's answers") if model.manifest.get("answers") else None
    text, gap = raw_text(row, stated), 0 if stated and stated.words == "characters" else 1
    starts, ends, at = {}, {}, 0
    for index, word in enumerate(row.words):
        starts[at], ends[at + len(word)] = index, index
        at += len(word) + gap
    entities = [(starts.get(entity.start), ends.get(entity.end), entity.kind) for entity in model(text).entities]
    if stated and stated.strategy == "none":  # a token each, with its whole tag: that of a word is its first token's
        tags = {first: kind for first, _, kind in entities if first is not None}
        return tuple(_tag_id(model.labels, tags.get(index, "O")) for index in range(len(row.words)))
    return _tag_ids(entities, model.labels, len(row.words), stated.scheme if stated else "iob2")


def _tag_ids(entities: Sequence[tuple[int | None, int | None, str]], names: Sequence[str], count: int, scheme: Scheme) -> tuple[int, ...]:
    """Ids of the tags of `count` words. entities: the first word, the last word and the kind of each entity."""
    tags = ["O"] * count
    before: tuple[int, str] | None = None
    for first, last, kind in entities:
        if first is not None and last is not None:
            tags[first : last + 1] = tags_of(kind, last + 1 - first, scheme, before == (first, kind))
            before = (last + 1, kind)
    return tuple(_tag_id(names, tag) for tag in tags)


def _tag_id(names: Sequence[str], tag: str) -> int:
    """Of the model's label, or where it has none with this mark, of one with another mark of the kind; -1: there is none."""
    _, dash, kind = tag.partition("-")
    others = [f"{mark}-{kind}" for mark in ("I", "M", "B")] if dash else []
    return next((names.index(name) for name in (tag, *others) if name in names), -1)


def _alike(ours: Sequence[int], theirs: Sequence[int], model: Tags) -> bool:
    """Whether the same entities are stated: a word that was cut off is no entity, and many tags state the same."""
    names = dict(enumerate(model.labels))
    first, second = (spans_of([names.get(tag, "O") for tag in tags], model.scheme) for tags in (ours, theirs))
    return first == second


def _as_the_pipeline(answers: TagAnswers) -> TagAnswers:
    """The pipeline finds words by the tokenizer, and knows no ends of entities: of such models it tells the tag of every token."""
    strategy = "none" if answers.scheme in ("bioes", "bilou") else answers.strategy
    return answers.model_copy(update={"strategy": strategy, "words": "tokenizer"})


def _ask_pipeline(folder: Path, calls: Sequence[Call], answers: TagAnswers, longest: int) -> list[Figures]:
    """transformers' pipeline: each entity's score by its kind and place."""
    import torch
    from transformers import pipeline

    strategy = _as_the_pipeline(answers).strategy
    ask = pipeline("token-classification", model=str(folder), device="cpu", aggregation_strategy=strategy, dtype=torch.float32)
    ask.tokenizer.model_max_length = longest
    figures = []
    for (text,) in calls:
        entities = [(each.get("entity_group") or each["entity"], each) for each in ask(text)]
        figures.append({f"{kind} at {each['start']}-{each['end']}": float(each["score"]) for kind, each in entities})
    return figures


_PIPELINE = Library(
    name="transformers' pipeline",
    package="transformers",
    applies=lambda source, answers: True,
    ask=_ask_pipeline,
    figures=lambda answer: {f"{each.kind} at {each.start}-{each.end}": each.score for each in answer.entities},
    call=lambda row: (" ".join(row.words) if row.words else row.text,),
    records=lambda answers: (_as_the_pipeline(answers),),
)


TASK = Task(
    name="token-classification",
    auto_class="AutoModelForTokenClassification",
    architectures=("ForTokenClassification",),
    adapter_kind="TOKEN_CLS",
    outputs=("logits",),  # [tokens, labels]
    per_token=True,
    metric="span_f1",
    example=(("text", "Ada Lovelace lived in London."),),
    answer_field="entities",
    columns=_columns,
    row=_row,
    row_of_text=_row_of_text,
    texts=parts_of,
    encode=_encode,
    served=_served,
    decide=_decide,
    metrics=_metrics,
    forward=logits_of,
    soft_loss=_soft_loss,
    reads_conll=True,
    class_kind="entity type",
    unlabelled_row=_unlabelled_row,
    shown=lambda row: {"words": row.words} if row.words else {"text": row.text, "text_pair": None},
    raw_texts=_raw_texts,
    class_results=_class_results,
    calibration=_calibration,
    hard_targets=_hard_targets,
    label_loss=_label_loss,
    aligned=_aligned,
    choices=lambda output: output.argmax(-1),
    fitted=_fitted,
    answer_record=TagAnswers,
    answers=_answers,
    library=_PIPELINE,
    java_method="entities",
    in_browsers=True,
)
