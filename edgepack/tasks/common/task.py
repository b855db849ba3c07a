"""The record of a task: every fact and every function that depends on which task it is. A task's file fills it in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.core.showing import shown
from edgepack.tasks.common.library import Library
from edgepack.tasks.common.metrics import Answers, ClassResult, Metric
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.scores import Calibration

if TYPE_CHECKING:
    import torch
    from torch import nn

    Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Features:
    """Token ids of one input. `row` is the index of the row it came from; `words` and `offsets` lead back to its text."""

    ids: list[int]
    type_ids: list[int]
    row: int
    words: tuple[int | None, ...] = ()
    offsets: tuple[tuple[int, int] | None, ...] = ()


Outputs = Sequence[np.ndarray]  # one array for each Features; its shape is in the task's file
Text = str | tuple[str, ...]  # a string, or words where the task's data comes in words
WordsOf = Mapping[str, Callable[[str], list[tuple[int, int]]]]  # places of a text's words, by the name of the way to find them
Columns = dict[str, str]  # which column each field of a row is read from

# Minitron (Muralidharan 2024): logits alone are hard to beat where the student starts from its teacher's weights.
OUTPUTS_ALONE = {"soft_weight": 1.0, "hidden_weight": 0.0, "relation_weight": 0.0, "hard_weight": 0.0}
OUTPUTS_AND_STATES = OUTPUTS_ALONE | {"hidden_weight": 1.0}  # nearer to the teacher (RESULTS.md, Hidden states), with slower steps


def _no_check(source: str, splits: Mapping[str, Sequence[Row]]) -> None:
    """Rows of any kind will do."""


def _any_length(tokenizer: Any, rows: Sequence[Row], max_length: int) -> None:
    """A text of any length can be cut."""


def _no_results(answers: "Answers") -> list[ClassResult]:
    return []


def _nothing_stated(source: Any, recipe: Any) -> None:
    """The task forms its answers in one way only."""


def _as_they_are(rows: Sequence[Row], answers: Any) -> Sequence[Row]:
    return rows


def _no_guess(rows: Sequence[Row]) -> None:
    """No constant answer scores anything."""


def _no_calibration(answers: "Answers") -> None:
    """The task has no probability of a truth."""


def _whole(ids: Sequence[int], output: "torch.Tensor") -> np.ndarray:
    values: np.ndarray = output.numpy().copy()
    return values


def _unchanged(outputs: Outputs, width: int) -> Outputs:
    return outputs


def _one_a_row(outputs: Outputs, features: Sequence[Features], others: Sequence[Features], new_id: Mapping[int, int]) -> Outputs:
    return outputs


def _any_model(task: "Task", source: Any, recipe: Any) -> "Task":
    return task


def _text_and_pair(row: Row) -> dict[str, Any]:
    return {"text": row.text, "text_pair": row.text_pair or row.context or None}


def _all_of(output: np.ndarray) -> np.ndarray:
    return output


def _largest(differences: np.ndarray) -> float:
    return float(differences.max(initial=0.0))


@dataclass(frozen=True, eq=False, repr=False)  # there is a single record of each task, and others that `fitted` makes of it
class Task:
    """The facts that a plan needs, then what happens to rows, outputs and losses, in the order of a build.

    Shapes are those of one input: [labels], [tokens, labels], [tokens, 2] or [hidden]; torch's have an axis of rows before them.
    """

    # Facts. Pure data, so that a plan needs no model.
    name: str
    auto_class: str  # of transformers
    architectures: tuple[str, ...]  # what a config's `architectures` end with where the model was made for this task
    outputs: tuple[str, ...]  # names in the exported graph; several are stacked on the last axis
    per_token: bool  # whether outputs have an axis of tokens
    metric: str  # the first metric, which the drop is judged by
    example: tuple[tuple[str, str], ...]  # what a shipped module is asked in its README: the inputs' names and texts
    answer_field: str  # what of a module's answer its README shows

    # From a file's records to token ids.
    columns: Callable[[Record, list[Record], Mapping[str, str | None]], Columns]  # of the first record, all of them, the user's wishes
    row: Callable[[str, Mapping[str, Any], str | None], Row]  # of a place, values by the fields in `columns`, and the group
    row_of_text: Callable[[str], Row | None]  # a row for a text alone; None where the task can make none of it
    texts: Callable[[Sequence[Row]], list[Text]]  # what `encode` hands to the tokenizer
    encode: Callable[[Any, Sequence[Row], int], list[Features]]  # with a tokenizer, up to so many tokens

    # From outputs to decisions and scores: a label id, a tuple of tag ids by word, an answer, a tuple of token ids, or None.
    decide: Callable[[Outputs, Sequence[Features], Sequence[Row]], list[Any]]  # one decision a row
    metrics: Callable[[Answers], tuple[Metric, ...]]  # `metric` first, then one that sees what the first does not

    # What torch computes. outputs: as `forward` gives them.
    forward: "Callable[[nn.Module, Batch], torch.Tensor]"  # what the exported graph computes
    soft_loss: "Callable[[torch.Tensor, Batch, torch.Tensor, float], torch.Tensor]"  # to the teacher's outputs at a temperature

    # Facts that most tasks share.
    decodes: bool = False  # token by token, with a cache of keys and values
    head_outputs: int | None = None  # the width of the head; None: one for each label that the config names
    dense_head: bool = False  # a dense layer stands before the head in families that have one for whole texts
    uses_pooler: bool = True  # False: the base model is loaded without its pooler
    lower_is_better: bool = False  # of the metric; a drop is then counted in per cent of the teacher's value
    joins_rows: bool = False  # rows are running text: they keep their order, and an input may hold parts of several
    reads_conll: bool = False  # plain text files hold a word and its tag a line, not a text a line
    needs_teacher: bool = False  # whether the metric compares with the teacher's outputs
    metric_of_narrower: str | None = None  # the first metric of a student whose outputs have another width than the teacher's
    metric_of_gold: str | None = None  # the first metric where the data has people's own judgement, and not the teacher's alone
    # Of a quantized file's outputs with the fp32 export's, the mean over texts: below it the gate tries a finer way too, whatever a
    # profile's budget allows. None: the budget alone decides.
    least_mean_cosine: float | None = None
    default_importance: str = "gradient"  # what heads and neurons are ranked by
    # A vocabulary is cut to the data's tokens for a wider or deeper student that keeps so many times as much of its teacher. Measured: a
    # cut costs classifiers of texts 0 to 1.3 points by itself.
    worth_fewer_tokens: float = 1.05
    loss_weights: Mapping[str, float] = field(default_factory=lambda: dict(OUTPUTS_ALONE))
    adapter_kind: str | None = None  # what PEFT calls models for this task
    class_kind: str = "class"  # what `class_results` are results of
    in_words: Callable[[Any, Row, Mapping[int, str]], str] | None = None  # a decision as people read it; names of the data's ids
    truth_in_words: Callable[[Row], str] | None = None

    # How answers are formed: written into the pack, and read by every platform.
    answer_record: type[Frozen] | None = None  # plain JSON values only; None: there is one way only
    answers: Callable[[Any, Any], Frozen | None] = _nothing_stated  # of a Source and a Recipe, what the model's folder states
    prompted: Callable[[Sequence[Row], Any], Sequence[Row]] = _as_they_are  # rows as they are put to the model, by that record
    reads_pairs: bool = False  # whether the model is for pairs of texts, whatever its data holds
    prompts: Callable[[Any], tuple[str, ...]] = lambda answers: ()  # texts of that record that are put to the model
    fitted: "Callable[[Task, Any, Any], Task]" = _any_model  # of the same two: the task as this model does it
    tuned: "Callable[[Task, Outputs, Sequence[Features], Sequence[Row], Mapping[str, int]], Task] | None" = None  # by the dev split
    restored: "Callable[[Task, Any, Sequence[str]], Task]" = lambda task, answers, labels: task  # as the record in a pack states it
    thresholds: tuple[float, ...] | None = None  # of each label, where the model decides for every label by itself
    gives_vectors: bool = False  # a text becomes a vector, by the parts that a folder states for sentence-transformers
    scores_vectors: bool = False  # it classifies such vectors, where a folder states a head that does (SetFit)

    # A row put to a loaded pack as raw text, as an app does: a decision of the kind that `decide` makes. labels: ids by the data's names.
    # None: the metric is one of outputs. Then, of all rows and their features: the outputs that a loaded pack gives to the raw texts, one
    # for each of the features, or for the first of them where all would take too long.
    served: Callable[[Any, Row, Mapping[str, int]], Any] | None = None
    served_outputs: Callable[[Any, Sequence[Row], Sequence[Features]], Iterator[np.ndarray]] | None = None
    alike: Callable[[Any, Any], bool] = lambda ours, theirs: bool(ours == theirs)  # whether two decisions state the same

    library: Library | None = None  # that users of such models run; a build compares with it first

    # Of what a pack states, how many labels it has and whether its texts are pairs: its own example and field in place of those above.
    shown_call: Callable[[Mapping[str, Any] | None, int, bool], tuple[tuple[tuple[str, str], ...], str]] | None = None

    # What modules of apps do of it.
    java_method: str | None = None  # that an Android module's class answers by; None: it does not
    answer_class: str = ""  # of the modules' answers: a class of targets/module/results.py, and a type of targets/web/src/index.d.ts
    in_browsers: bool = False  # whether the web module does it
    finds_places: bool = False  # answers are places in the text, whatever the settings: the module must know where tokens are
    text_labels: tuple[str, str] = ("Your text", "")  # what a sample app asks for; no second text where that is empty

    # Functions that most tasks share.
    check_rows: Callable[[str, Mapping[str, Sequence[Row]]], None] = _no_check  # EdgepackError: nothing can be learned from them
    # By a tokenizer and the limit. EdgepackError: a row cannot be cut to it.
    check_lengths: Callable[[Any, Sequence[Row], int], None] = _any_length
    unlabelled_row: Callable[[Row], Row | None] | None = lambda row: row  # of a row with a text alone; None: such texts are of no use
    shown: Callable[[Row], dict[str, Any]] = _text_and_pair  # a row's texts as they stand beside golden vectors, unless rows are joined
    # Further golden texts of rows, by the record of answers and the ways to find words by name: rows as they are read, and as shown.
    raw_texts: "Callable[[Sequence[Row], Any, WordsOf], list[tuple[Row, dict[str, Any]]]]" = lambda rows, answers, words_of: []
    class_results: Callable[[Answers], list[ClassResult]] = _no_results
    calibration: Callable[[Answers], Calibration | None] = _no_calibration
    guess_score: Callable[[Sequence[Row]], float | None] = _no_guess  # the metric of the best constant answer to these rows
    hard_targets: Callable[[Sequence[Features], Sequence[Row], Mapping[str, int]], list[Any]] | None = None  # None: it has no labels
    label_loss: "Callable[[torch.Tensor, Batch, torch.Tensor], torch.Tensor] | None" = None  # None as `hard_targets`
    kept_outputs: "Callable[[torch.Tensor], torch.Tensor] | None" = None  # what a student learns from, of one input; None: the outputs
    reduced: "Callable[[Sequence[int], torch.Tensor], np.ndarray]" = _whole  # what is kept of one input's outputs
    narrowed: Callable[[Outputs, int], Outputs] = _unchanged  # the teacher's outputs for a student of that hidden width
    aligned: Callable[[Outputs, Sequence[Features], Sequence[Features], Mapping[int, int]], Outputs] = _one_a_row

    # How two files of the same model are compared.
    comparable: Callable[[np.ndarray], np.ndarray] = _all_of  # of an output what rounding alone does not make jump
    gap: Callable[[np.ndarray], float] = _largest  # one figure for the differences of comparable outputs
    choices: Callable[[np.ndarray], np.ndarray] | None = None  # of an output what decides; None: it decides nothing

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    @property
    def names_labels(self) -> bool:
        """Whether the model's config names the labels."""
        return self.head_outputs is None

    def call_of(self, answers: Mapping[str, Any] | None, labels: int, is_pair: bool) -> tuple[tuple[tuple[str, str], ...], str]:
        """What a README asks a pack, and the field of the answer that it shows. answers: as the pack states them."""
        return self.shown_call(answers, labels, is_pair) if self.shown_call else (self.example, self.answer_field)

    def row_of_call(self, call: Sequence[tuple[str, str]]) -> Row | None:
        """A README's call as a row: names of a call's inputs, and their texts. None where the task can make none of it."""
        row = self.row_of_text(call[-1][1])
        if row is None or len(call) == 1:
            return row
        (_, first), (name, second) = call
        return replace(row, text=first, text_pair=second) if name == "pair" else replace(row, text=first, context=second)


def check_tokens(features: Sequence[Features], rows: Sequence[Row], max_length: int) -> None:
    """EdgepackError names the first row of which nothing is left: a tokenizer without tokens of its own makes none of an empty text.

    Or the first that is not cut: a tokenizer cuts nothing where its own tokens alone are more than the limit.
    """
    for item in features:
        if not item.ids:
            raise EdgepackError(f"{rows[item.row].place}: no tokens", "drop the row, or fill in its text")
        if len(item.ids) > max_length:
            raise EdgepackError(
                f"{rows[item.row].place or shown(rows[item.row].text)}: {len(item.ids)} tokens, and the limit is {max_length}, which the "
                "tokenizer cannot cut to: it adds tokens of its own",
                "use a longer --max-length, or raise the model's own limit",
            )
