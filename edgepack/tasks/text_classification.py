"""text-classification: a text, or a pair of texts, gets one of the labels that the model's config names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.records import Frozen
from edgepack.core.showing import shown
from edgepack.tasks.common import numbers_as_answers, several_labels
from edgepack.tasks.common.calibration import calibrate, log_softmax
from edgepack.tasks.common.columns import FLAG, parts_of, text_columns, text_row
from edgepack.tasks.common.encoding import encode_text
from edgepack.tasks.common.library import LONG_TEXT, Figures, Library, opened
from edgepack.tasks.common.losses import IGNORED, divergence, known_mean, logits_of
from edgepack.tasks.common.metrics import Answers, ClassResult, Metric, by_row, class_result, macro_f1, mean_of
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.setfit_library import SETFIT
from edgepack.tasks.common.several_labels import DEFAULT_THRESHOLD
from edgepack.tasks.common.task import OUTPUTS_AND_STATES, Features, Outputs, Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edgepack.tasks.common.scores import Calibration


def _check_rows(source: str, splits: Mapping[str, Sequence[Row]]) -> None:
    """EdgepackError where a split that is learned from or judged by has a single class."""
    for split, rows in splits.items():
        classes = Counter(row.label for row in rows)
        if len(classes) == 1 and split != "dev":
            where = source if split == "all" else f"the {split} split of {source}"
            if set(classes) == {"-1"}:
                fix = "leave the split out: rows are held out of the train split then"
                raise EdgepackError(f"{where} has hidden labels: all are -1", fix)
            raise EdgepackError(
                f"{where} has only one class: {next(iter(classes))!r}", "give rows of at least two classes, or another --label-column"
            )


def _decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[int]:
    return [int(output.argmax()) for output in outputs]


def _metrics(answers: Answers) -> tuple[Metric, ...]:
    decided, truth = np.array(answers.decisions), _truth(answers)
    return by_row("accuracy", answers, mean_of(decided == truth)), by_row("macro_f1", answers, macro_f1(decided, truth))


def _class_results(answers: Answers) -> list[ClassResult]:
    """F1 by class, of those that the data has."""
    decided, truth = np.array(answers.decisions), _truth(answers)
    names = {index: name for name, index in answers.labels.items()}
    return [
        class_result(names[index], np.sum((truth == index) & (decided == index)), np.sum(decided == index), np.sum(truth == index))
        for index in np.unique(truth).tolist()
    ]


def _calibration(answers: Answers) -> Calibration | None:
    return calibrate(log_softmax(answers.outputs), _truth(answers), None if answers.teacher is None else log_softmax(answers.teacher))


def _truth(answers: Answers) -> np.ndarray:
    return np.array([answers.labels[row.label or ""] for row in answers.rows])


def _hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[np.int64]:
    return [np.int64(IGNORED if (label := rows[item.row].label) is None else labels[label]) for item in features]


def _label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """outputs: [rows, labels]; hard: [rows]."""
    return known_mean(outputs[:, None], hard[:, None])


def _soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    return divergence(outputs, soft, temperature).mean()


_PAIR_EXAMPLE = (("text", "How many people live in Berlin?"), ("pair", "Berlin has 3.7 million inhabitants."))


def _shown_call(answers: Mapping[str, Any] | None, labels: int, is_pair: bool) -> tuple[tuple[tuple[str, str], ...], str]:
    """A number has no label, and of several labels the likeliest is not the answer."""
    several = bool(answers and answers.get("multi_label"))
    is_pair = is_pair or bool(answers and answers.get("reads_empty_pair"))
    return _PAIR_EXAMPLE if is_pair else TASK.example, "chosen" if several else "score" if labels == 1 else TASK.answer_field


class LabelAnswers(Frozen):
    """function: what makes scores of logits. multi_label: each label is decided by itself, by its threshold.

    reads_empty_pair: an empty second text is a text, as for a CrossEncoder; else it is none, as for transformers' pipeline.
    """

    function: Literal["softmax", "sigmoid", "none"]
    multi_label: bool
    thresholds: tuple[float, ...] | None = None
    reads_empty_pair: bool = False

    def summary(self) -> str:
        if self.multi_label:
            by = "0.5" if self.thresholds is None or set(self.thresholds) == {0.5} else "thresholds found on the dev split"
            return f"each label is decided alone: the sigmoid of its logit, by {by}"
        return {"softmax": "the softmax of the logits", "sigmoid": "the sigmoid of the logit", "none": "the logits as they are"}[
            self.function
        ]


_PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")


def _answers(source: Any, recipe: Any) -> LabelAnswers:
    """As a CrossEncoder states the function, else as transformers' text-classification pipeline chooses it.

    EdgepackError: the config states a problem that is not known, or a function that is not reproduced.
    """
    problem = source.config.get("problem_type")
    if problem is not None and problem not in _PROBLEMS:
        raise EdgepackError(f"{source.name}: config.json states problem_type: {problem!r}", f"write one of these: {', '.join(_PROBLEMS)}")
    if problem == "single_label_classification" and len(source.labels) == 1:
        raise EdgepackError(
            f"{source.name}: config.json states problem_type: {problem!r} with one label",
            "write problem_type: 'regression' for numbers, or leave it out for the sigmoid of one logit",
        )
    if source.activation is not None:
        return LabelAnswers(function=source.activation, multi_label=False, reads_empty_pair=True)
    if problem == "regression":
        return LabelAnswers(function="none", multi_label=False)
    if problem == "multi_label_classification":
        return LabelAnswers(function="sigmoid", multi_label=True, thresholds=(DEFAULT_THRESHOLD,) * len(source.labels))
    return LabelAnswers(function="sigmoid" if len(source.labels) == 1 else "softmax", multi_label=False)


def _guess_score(rows: Sequence[Row]) -> float | None:
    """The share of the most frequent label."""
    counts = Counter(row.label for row in rows if row.label is not None)
    return max(counts.values()) / counts.total() if counts else None


def _fitted(task: Task, source: Any, recipe: Any) -> Task:
    """Other decisions, metrics and losses for models that answer with several labels, or with numbers."""
    answers = _answers(source, recipe)
    unread = source.config.get("function_to_apply")
    if unread is not None and unread != answers.function:
        say(f"config.json states function_to_apply: {shown(unread)}. Neither transformers' pipeline nor edgepack reads it here")
    if source.sentence is not None and source.sentence.labels:
        task = replace(task, library=SETFIT)
    return _restored(task, answers, source.labels)


def _restored(task: Task, answers: LabelAnswers | None, labels: Sequence[str]) -> Task:
    task = replace(task, in_words=partial(_in_words, labels=tuple(labels)))
    if answers is None:
        return task
    if answers.reads_empty_pair:
        read = partial(encode_text, reads_empty_pair=True)
        task = replace(task, encode=read, reads_pairs=True, shown=_shown_pair, library=_CROSS_ENCODER)
    if answers.multi_label:
        task = _with_several_labels(task, labels)
        return _decided_by(task, answers.thresholds) if answers.thresholds else task
    is_number = len(labels) == 1 or (answers.function == "none" and not answers.reads_empty_pair)  # a CrossEncoder's logits rank labels
    return _with_numbers(task, answers.function) if is_number else task


def _in_words(decision: int, row: Row, names: Mapping[int, str], labels: Sequence[str] = ()) -> str:
    """The data's name of a label, else the model's: a model may decide for a label that no row of the data has."""
    model_name = labels[decision] if decision < len(labels) else f"LABEL_{decision}"  # as transformers names what nobody has named
    return names.get(decision, model_name)


def _shown_pair(row: Row) -> dict[str, Any]:
    """With an empty second text too."""
    return {"text": row.text, "text_pair": row.text_pair}


def _with_several_labels(task: Task, labels: Sequence[str]) -> Task:
    def columns(first: Record, records: list[Record], wished: Mapping[str, str | None]) -> dict[str, str]:
        flags = {} if wished.get("label") else several_labels.columns_of_flags(first, records, labels)
        rest = Record({name: value for name, value in first.values.items() if name not in flags.values()}, first.place)
        return text_columns(rest, records, wished, with_label=not flags) | flags

    def row(place: str, value: Mapping[str, Any], group: str | None) -> Row:
        flagged = any(key.startswith(FLAG) for key in value)
        stated = several_labels.flags_from(value, labels) if flagged else None
        if stated is None and value.get("label") is not None:
            stated = several_labels.labels_from(value["label"], labels, place)
        return replace(text_row(place, {key: held for key, held in value.items() if key != "label"}, group), labels=stated)

    decided = _decided_by(replace(task, tuned=_tuned), (DEFAULT_THRESHOLD,) * len(labels))
    return replace(
        decided,
        metric="micro_f1",
        columns=columns,
        row=row,
        metrics=several_labels.metrics,
        check_rows=lambda source, splits: None,
        class_results=several_labels.class_results,
        calibration=lambda answers: None,
        guess_score=lambda rows: None,
        hard_targets=partial(several_labels.hard_targets, count=len(labels)),
        label_loss=several_labels.label_loss,
        soft_loss=several_labels.soft_loss,
        choices=lambda output: output > 0,
        served=_served_labels,
        in_words=None,
        truth_in_words=None,
    )


def _tuned(task: Task, outputs: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> Task:
    return _decided_by(task, several_labels.thresholds_of(outputs, features, rows, labels))


def _decided_by(task: Task, thresholds: tuple[float, ...]) -> Task:
    return replace(task, thresholds=thresholds, decide=lambda outputs, features, rows: several_labels.decide(outputs, thresholds))


def _with_numbers(task: Task, function: str) -> Task:
    return replace(
        task,
        metric="spearman",
        columns=numbers_as_answers.columns,
        decide=numbers_as_answers.decide,
        metrics=numbers_as_answers.metrics,
        check_rows=lambda source, splits: None,
        class_results=lambda answers: [],
        calibration=lambda answers: None,
        guess_score=lambda rows: None,
        hard_targets=numbers_as_answers.hard_targets,
        label_loss=numbers_as_answers.label_loss,
        soft_loss=numbers_as_answers.soft_loss,
        choices=None,
        served=None,
        in_words=None,
        truth_in_words=None,
        served_outputs=partial(_served_numbers, function=function),
    )


def _served(model: Any, row: Row, labels: Mapping[str, int]) -> Any:
    """The id of the first label."""
    return model.labels.index(model(row.text, row.text_pair).label)


def _served_labels(model: Any, row: Row, labels: Mapping[str, int]) -> tuple[int, ...]:
    """For each label 0 or 1."""
    holding = model(row.text, row.text_pair).chosen
    return tuple(int(name in holding) for name in model.labels)


def _served_numbers(model: Any, rows: Sequence[Row], features: Sequence[Features], function: str = "none") -> Iterator[np.ndarray]:
    """[labels] the logits of each row: what the model's function made of them is undone, to compare them with those of token ids."""
    for row in rows:
        scores = {label.name: label.score for label in model(row.text, row.text_pair).scores}
        numbers = np.array([scores[name] for name in model.labels])
        yield several_labels.logit(numbers) if function == "sigmoid" else numbers


def _forward(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """[rows, labels]: by the model's own head, or that of a SetFit model, which stands behind the vector of a text."""
    head = getattr(model, "sentence_head", None)
    return logits_of(model, batch) if head is None else head(model(**batch).last_hidden_state, batch.get("attention_mask"))


def _ask_pipeline(folder: Path, calls: Sequence[tuple[str, ...]], answers: Any, longest: int) -> list[Figures]:
    """transformers' pipeline: the score of each label."""
    import torch
    from transformers import pipeline

    ask = pipeline("text-classification", model=str(folder), device="cpu", top_k=None, dtype=torch.float32)
    figures = []
    for call in calls:
        text = {"text": call[0], "text_pair": call[1]} if len(call) > 1 else call[0]
        scores = ask(text, truncation=True, max_length=longest)
        figures.append({each["label"]: float(each["score"]) for each in (scores[0] if isinstance(scores[0], list) else scores)})
    return figures


def _scores(answer: Any) -> Figures:
    return {label.name: label.score for label in answer.scores}


_PIPELINE = Library(
    name="transformers' pipeline",
    package="transformers",
    applies=lambda source, answers: source.activation is None,  # a CrossEncoder states a function that the pipeline does not read
    ask=_ask_pipeline,
    figures=_scores,
)


def _ask_cross_encoder(folder: Path, calls: Sequence[tuple[str, ...]], answers: Any, longest: int) -> list[Figures]:
    """sentence-transformers' CrossEncoder: the score of each label, behind the function that its folder states."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), **opened())
    model.max_seq_length = min(longest, model.max_seq_length or longest)
    names = model.config.id2label
    scores = [np.atleast_1d(model.predict([call], show_progress_bar=False)[0]) for call in calls]
    return [{names[index]: float(score) for index, score in enumerate(each)} for each in scores]


_CROSS_ENCODER = Library(
    name="sentence-transformers' CrossEncoder",
    package="sentence_transformers",
    applies=lambda source, answers: True,
    ask=_ask_cross_encoder,
    figures=_scores,
    call=lambda row: None if row.text_pair is None else (row.text, row.text_pair),  # of one text alone it says nothing
    long_call=(LONG_TEXT, LONG_TEXT),
)


TASK = Task(
    name="text-classification",
    auto_class="AutoModelForSequenceClassification",
    architectures=("ForSequenceClassification",),
    adapter_kind="SEQ_CLS",
    outputs=("logits",),  # [labels]
    per_token=False,
    metric="accuracy",
    example=(("text", "turn on the light"),),
    answer_field="label",
    shown_call=_shown_call,
    columns=partial(text_columns, with_label=True),
    row=text_row,
    row_of_text=lambda text: Row("", text=text),
    texts=parts_of,
    encode=encode_text,
    decide=_decide,
    metrics=_metrics,
    forward=_forward,
    scores_vectors=True,
    soft_loss=_soft_loss,
    loss_weights=OUTPUTS_AND_STATES,
    dense_head=True,
    check_rows=_check_rows,
    class_results=_class_results,
    calibration=_calibration,
    guess_score=_guess_score,
    hard_targets=_hard_targets,
    label_loss=_label_loss,
    choices=lambda output: output.argmax(-1),
    fitted=_fitted,
    restored=_restored,
    answer_record=LabelAnswers,
    answers=_answers,
    served=_served,
    library=_PIPELINE,
    in_words=_in_words,
    truth_in_words=lambda row: row.label or "",
    java_method="classify",
    answer_class="Labels",
    in_browsers=True,
)
