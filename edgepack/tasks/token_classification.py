"""token-classification: each word gets a tag, in one of the schemes that tags come in; entities are what the tags state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.tasks.common.columns import fixed_columns, parts_of
from edgepack.tasks.common.encoding import encode_text, type_ids
from edgepack.tasks.common.library import Call, Figures, Library
from edgepack.tasks.common.losses import IGNORED, divergence, known_mean, logits_of, real_tokens, rows_mean
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.tag_schemes import SHOWN, Scheme, scheme_of, spans_of, tag_id, tag_ids
from edgepack.tasks.common.tag_scores import Tags, calibration, class_results, decide, first_tokens, metrics
from edgepack.tasks.common.task import OUTPUTS_AND_STATES, Features, Outputs, Task, WordsOf

if TYPE_CHECKING:
    import torch


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
    return _by_tags(task, Tags(scheme_of(source.labels), source.labels), recipe.words)


def _restored(task: Task, answers: TagAnswers | None, labels: Sequence[str]) -> Task:
    return task if answers is None else _by_tags(task, Tags(answers.scheme, tuple(labels)), answers.words)


def _by_tags(task: Task, tags: Tags, words: str) -> Task:
    return replace(
        task,
        metrics=partial(metrics, model=tags),
        class_results=partial(class_results, model=tags),
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
    return fixed_columns(
        first, records, aliases, "token-classification", "give CoNLL files, or rows with a list of words and a list of tags"
    )


def _row(place: str, value: Mapping[str, Any], group: str | None) -> Row:
    words, tags = tuple(value["words"]), tuple(str(tag) for tag in value["tags"])
    if len(words) != len(tags):
        raise EdgepackError(f"{place} has {len(words)} words and {len(tags)} tags", "give each word a tag, or drop the row")
    return Row(place, words=words, tags=tags, group=group)


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


def _hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[np.ndarray]:
    return [_first_token_tags(item, rows[item.row], labels) for item in features]


def _first_token_tags(item: Features, row: Row, labels: Mapping[str, int]) -> np.ndarray:
    tags = np.full(len(item.ids), IGNORED, dtype=np.int64)
    if row.tags:
        for word, position in first_tokens(item).items():
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
    entities = [(starts.get(_first_letter(text, entity)), ends.get(entity.end), entity.kind) for entity in model(text).entities]
    if stated and stated.strategy == "none":  # a token each, with its whole tag: that of a word is its first token's
        tags = {first: kind for first, _, kind in entities if first is not None}
        return tuple(tag_id(model.labels, tags.get(index, "O")) for index in range(len(row.words)))
    return tag_ids(entities, model.labels, len(row.words), stated.scheme if stated else "iob2")


def _first_letter(text: str, entity: Any) -> int:
    """Where the entity's first word begins: a token of a SentencePiece tokenizer holds the space before its word, as does an entity."""
    inside = text[entity.start : entity.end]
    return int(entity.start) + len(inside) - len(inside.lstrip())


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
    decide=decide,
    metrics=metrics,
    loss_weights=OUTPUTS_AND_STATES,
    worth_fewer_tokens=2.0,  # names are rare words: a cut costs 1.2 to 6.7 points by itself, and a narrower student cost 2.8
    forward=logits_of,
    soft_loss=_soft_loss,
    reads_conll=True,
    class_kind="entity type",
    unlabelled_row=_unlabelled_row,
    shown=lambda row: {"words": row.words} if row.words else {"text": row.text, "text_pair": None},
    raw_texts=_raw_texts,
    class_results=class_results,
    calibration=calibration,
    guess_score=lambda rows: 0.0,  # of no tag at all
    hard_targets=_hard_targets,
    label_loss=_label_loss,
    aligned=_aligned,
    choices=lambda output: output.argmax(-1),
    fitted=_fitted,
    restored=_restored,
    answer_record=TagAnswers,
    answers=_answers,
    library=_PIPELINE,
    java_method="entities",
    answer_class="Entities",
    in_browsers=True,
)
