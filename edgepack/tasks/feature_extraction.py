"""feature-extraction: a text becomes a vector; a student learns its teacher's vectors.

The vector is what the model's folder states for sentence-transformers, else the mean of its tokens' hidden states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.tasks.common.columns import parts_of, text_columns, text_row, with_similarity
from edgepack.tasks.common.encoding import type_ids
from edgepack.tasks.common.library import Figures, Library, cut_at, opened
from edgepack.tasks.common.metrics import Answers, Metric, mean_of, spearman
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.similarity import COMPARED, PromptTokens, Similarity, unit_length
from edgepack.tasks.common.task import Features, Outputs, Task, WordsOf

if TYPE_CHECKING:
    import torch
    from torch import nn

_FEWEST_PAIRS = 3  # that a rank correlation is computed of


class VectorCodes(Frozen):
    """How a vector becomes a code: see targets/module/search.py, which applies it.

    int8: low and high are the range of each dimension. binary: a bit is set above the threshold; low and high are the means of the
    numbers on its two sides, which a bit stands for where a query is compared with it. id: of these numbers, so that an index is of one.
    """

    kind: Literal["int8", "binary"]
    id: str = Field(pattern="^[0-9a-f]{16}$")
    low: tuple[float, ...] = Field(min_length=1)
    high: tuple[float, ...]
    thresholds: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _each_dimension_has_all(self) -> Self:
        counts = {len(self.low), len(self.high), *([len(self.thresholds)] if self.thresholds is not None else [])}
        if len(counts) > 1 or (self.kind == "binary") is (self.thresholds is None):
            raise EdgepackError("the pack's codes of vectors do not state each dimension", "build the pack again")
        return self


class VectorAnswers(Frozen):
    """sparse: a vector has a weight for each token of the vocabulary, most of them 0.

    prompts: by name, put before a text. similarity: what vectors are compared by.
    dimensions: None, or so many of a vector's stay. codes: None, or how a vector becomes a code of fewer bits.

    prompt_tokens: of prompts whose tokens a vector leaves out, by name: a text that itself begins with another one is refused.

    Pooling, Dense and Normalize are in the graph.
    """

    prompts: dict[str, str] = Field(default_factory=dict)
    default_prompt: str | None = None
    similarity: Similarity = "cosine"
    dimensions: int | None = None
    sparse: bool = False
    prompt_tokens: dict[str, PromptTokens] = Field(default_factory=dict)
    codes: VectorCodes | None = None  # known once the file is built


def _answers(source: Any, recipe: Any) -> VectorAnswers:
    stated = source.sentence
    _refuse_codes(source, recipe)
    if stated is None:
        return VectorAnswers(dimensions=recipe.dimensions)
    if stated.labels:
        raise EdgepackError(f"{source.name} is a SetFit classifier: it gives no vectors", "leave --task out")
    if stated.is_sparse and recipe.cuts_vocabulary:
        raise EdgepackError(
            f"--vocabulary: the vectors of {source.name} have a place for each token, which it would move",
            "leave it out",
        )
    return VectorAnswers(
        prompts=stated.prompts,
        prompt_tokens=source.prompt_tokens,
        default_prompt=stated.default_prompt,
        similarity=stated.similarity,
        dimensions=recipe.dimensions or stated.dimensions,
        sparse=stated.is_sparse,
    )


def _refuse_codes(source: Any, recipe: Any) -> None:
    """EdgepackError: --vectors for vectors that its codes do not fit."""
    stated = source.sentence
    if recipe.vectors is None or stated is None:
        return
    if stated.is_sparse:
        raise EdgepackError(
            f"--vectors {recipe.vectors}: the vectors of {source.name} are sparse, and most of their numbers are 0 already", "leave it out"
        )
    if stated.similarity not in ("cosine", "dot"):
        raise EdgepackError(
            f"--vectors {recipe.vectors}: {source.name} compares vectors by {stated.similarity} distance, and codes are compared by "
            "cosine or dot product",
            "leave it out",
        )


def _prompted(rows: Sequence[Row], answers: VectorAnswers | None) -> Sequence[Row]:
    """Every text behind the prompt that is put there by default."""
    prompt = answers.prompts[answers.default_prompt] if answers and answers.default_prompt else ""
    if not prompt:
        return rows
    return [replace(row, text=prompt + row.text, text_pair=None if row.text_pair is None else prompt + row.text_pair) for row in rows]


def _behind_prompts(rows: Sequence[Row], answers: VectorAnswers | None, words_of: WordsOf) -> list[tuple[Row, dict[str, Any]]]:
    """A text behind each prompt that a call may name, and behind none, as the model reads it."""
    prompts = {**answers.prompts, "": ""} if answers and answers.prompts else {}
    text = rows[0].text
    return [(Row("", text=prompt + text), {"text": text, "text_pair": None, "prompt": name}) for name, prompt in prompts.items()]


def _columns(first: Record, records: list[Record], wished: Mapping[str, str | None]) -> dict[str, str]:
    return with_similarity(text_columns(first, records, wished), first, records)


def _encode(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """Every text by itself; the two of a pair follow one another, and are compared by their embeddings."""
    texts = [(index, text) for index, row in enumerate(rows) for text in (row.text, row.text_pair) if text is not None]
    encoded = tokenizer([text for _, text in texts], truncation=True, max_length=max_length, padding=False)
    return [Features(ids, types, row) for (row, _), ids, types in zip(texts, encoded["input_ids"], type_ids(encoded), strict=True)]


def _decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[None]:
    return [None] * len(outputs)


def _metrics(answers: Answers, similarity: Similarity = "cosine") -> tuple[Metric, ...]:
    """Cosine to the teacher's embedding of the same text; then how pairs are ranked: by the folder's similarity as the data's own scores
    rank them (Reimers and Gurevych 2019), or, without such, by cosine as the teacher ranks neighbours in one fixed shuffle of the texts.
    """
    return tuple(_each_metric(answers, similarity))


def _each_metric(answers: Answers, similarity: Similarity) -> Iterator[Metric]:
    rows = np.array([item.row for item in answers.features])
    ours = unit_length(answers.outputs)
    teacher = None if answers.teacher is None else unit_length(answers.teacher)
    if teacher is not None and ours.shape == teacher.shape:  # a narrower student's embeddings live in a space of their own
        yield Metric("cosine_to_teacher", rows, mean_of((ours * teacher).sum(axis=1)))
    _, first, texts = np.unique(rows, return_index=True, return_counts=True)  # the two texts of a pair are neighbours
    first = np.array([at for at in first[texts == 2] if answers.rows[rows[at]].gold is not None], dtype=int)
    if len(first) >= _FEWEST_PAIRS:
        truth = np.array([answers.rows[row].gold for row in rows[first]])
        pairs = (np.stack(answers.outputs)[at].astype(float) for at in (first, first + 1))
        yield Metric("spearman", rows[first], spearman(COMPARED[similarity](*pairs), truth))
    if teacher is not None and len(ours) >= _FEWEST_PAIRS and (len(first) < _FEWEST_PAIRS or ours.shape != teacher.shape):
        first = np.random.default_rng(0).permutation(len(ours))
        second = np.roll(first, 1)
        cosines, expected = ((side[first] * side[second]).sum(axis=1) for side in (ours, teacher))
        yield Metric("spearman_to_teacher", rows[first], spearman(cosines, expected))


def _fitted(task: Task, source: Any, recipe: Any) -> Task:
    return _compared_by(task, source.sentence.similarity if source.sentence else "cosine")


def _restored(task: Task, answers: VectorAnswers | None, labels: Sequence[str] = ()) -> Task:
    return _compared_by(task, answers.similarity if answers else "cosine")


def _compared_by(task: Task, similarity: Similarity) -> Task:
    return replace(task, metrics=partial(_metrics, similarity=similarity))


def _forward(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """[rows, width]: by the parts that the model's folder states (model/sentence_head.py), else the mean over real tokens."""
    hidden = model(**batch).last_hidden_state
    head = getattr(model, "sentence_head", None)
    if head is not None:
        return head(hidden, batch.get("attention_mask"), batch.get("input_ids"))
    if "attention_mask" not in batch:  # one text, without padding
        return hidden.mean(1)
    mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(1) / mask.sum(1)


def _soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """1 - cosine."""
    from torch.nn import functional

    return (1 - functional.cosine_similarity(outputs.float(), soft.float(), dim=-1)).mean()


def _narrowed(outputs: Outputs, width: int) -> Outputs:
    """A narrower student has embeddings of its own width, and its texts lie to each other as the teacher's do."""
    if len(outputs[0]) <= width:
        return outputs
    return list(np.stack(outputs) @ principal_axes(np.stack(outputs), width))


def principal_axes(embeddings: np.ndarray, width: int) -> np.ndarray:
    """[teacher's width, width], orthonormal: the plane through 0 that keeps most of the embeddings, and so of their cosines."""
    _, vectors = np.linalg.eigh(embeddings.astype(np.float64).T @ embeddings)
    return vectors[:, ::-1][:, :width].astype(np.float32)


def _served_vectors(model: Any, rows: Sequence[Row], features: Sequence[Features]) -> Iterator[np.ndarray]:
    """[width] of each text, the second of a pair behind the first. The pack itself puts its default prompt before them."""
    for row in rows:
        for text in (row.text, row.text_pair):
            if text is not None:
                yield np.asarray(model(text).values)


def _ask_sentence_transformers(folder: Path, calls: Sequence[tuple[str, ...]], answers: Any, longest: int) -> list[Figures]:
    """With the default prompt, where the folder states one."""
    from sentence_transformers import SentenceTransformer

    texts = [call[0] for call in calls]
    if getattr(answers, "sparse", False):
        return _ask_sparse_encoder(folder, texts, longest)
    fewer = getattr(answers, "dimensions", None)
    model = SentenceTransformer(str(folder), truncate_dim=fewer, **opened())
    cut_at(model, longest)
    as_stated = SentenceTransformer(str(folder), **opened()).truncate_dim
    one_long = fewer not in (None, as_stated) and any(type(part).__name__ == "Normalize" for part in model)  # a pack's are 1 long again
    return [_by_place(vector) for vector in model.encode(texts, batch_size=1, show_progress_bar=False, normalize_embeddings=one_long)]


def _ask_sparse_encoder(folder: Path, texts: Sequence[str], longest: int) -> list[Figures]:
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(folder), **opened())
    model.max_seq_length = min(longest, model.max_seq_length or longest)
    vectors = [model.encode([text], show_progress_bar=False, convert_to_sparse_tensor=False)[0] for text in texts]
    return [_by_place(vector.tolist()) for vector in vectors]


def _by_place(vector: Sequence[float]) -> Figures:
    return {str(index): float(value) for index, value in enumerate(vector)}


_SENTENCE_TRANSFORMERS = Library(
    name="sentence-transformers",
    package="sentence_transformers",
    applies=lambda source, answers: source.sentence is not None,
    ask=_ask_sentence_transformers,
    figures=lambda answer: _by_place(answer.values),
)


TASK = Task(
    name="feature-extraction",
    auto_class="AutoModel",
    architectures=("Model",),
    adapter_kind="FEATURE_EXTRACTION",
    outputs=("sentence_embedding",),  # [hidden]; torch names a value inside `embedding`
    per_token=False,
    metric="cosine_to_teacher",
    example=(("text", "turn on the light"),),
    answer_field="values",
    columns=_columns,
    row=text_row,
    row_of_text=lambda text: Row("", text=text),
    texts=parts_of,
    encode=_encode,
    decide=_decide,
    metrics=_metrics,
    forward=_forward,
    soft_loss=_soft_loss,
    head_outputs=0,
    uses_pooler=False,
    answer_record=VectorAnswers,
    fitted=_fitted,
    restored=_restored,
    answers=_answers,
    prompted=_prompted,
    prompts=lambda answers: tuple(answers.prompts.values()),
    gives_vectors=True,
    needs_teacher=True,
    metric_of_narrower="spearman_to_teacher",
    metric_of_gold="spearman",
    least_mean_cosine=0.998,  # searches rank what lies close together, and a budget of points of the cosine is far too wide for that
    default_importance="activation",  # without labels there is no loss to take a gradient of
    shown=lambda row: {"text": row.text, "text_pair": None, "prompt": None},
    raw_texts=_behind_prompts,
    narrowed=_narrowed,
    served_outputs=_served_vectors,
    library=_SENTENCE_TRANSFORMERS,
    java_method="embed",
    answer_class="Vector",
    in_browsers=True,
)
