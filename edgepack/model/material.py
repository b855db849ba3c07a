"""What a build works with beside the model: rows, token ids and the teacher's outputs. Each is computed when it is first needed."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.reading import read_json_object
from edgepack.core.records import Frozen
from edgepack.model.buckets import choose_buckets
from edgepack.model.corpus import Corpus, read_corpus
from edgepack.model.data import Data, drawn, in_model_names, label_ids, load_data, load_unlabelled, mixed
from edgepack.model.plain_folder import CONFIG_BYTES
from edgepack.model.source import Source, find_model
from edgepack.model.statements.tokenizer_config import check_end_of_text
from edgepack.plan.architectures import family_of
from edgepack.plan.means import WORTH_CUTTING
from edgepack.plan.recipe import TRAIN_SPLIT, Recipe
from edgepack.tasks import task_named
from edgepack.tasks.common.labels import contradiction
from edgepack.tasks.common.languages import examples_in, language_of
from edgepack.tasks.common.nasty_texts import NASTY, UNFAMILIAR
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs, Task, check_tokens

if TYPE_CHECKING:
    from edgepack.model.pieces import VocabularyCut

_SAMPLE_ROWS = 24


@dataclass(frozen=True)
class Material:
    """Source and data of one build, checked against each other before anything is loaded."""

    recipe: Recipe
    source: Source
    task: Task
    data: Data | None

    @cached_property
    def labels(self) -> dict[str, int]:
        """The data's labels as the model's ids."""
        return {} if self.data is None or not self.data.labels else label_ids(self.data, self.id2label, self.source.name)

    @cached_property
    def id2label(self) -> dict[int, str]:
        return dict(enumerate(self.source.labels)) if self.task.names_labels else {}

    @cached_property
    def answers(self) -> Frozen | None:
        """How the task's answers are formed, as the model's folder and the user's settings state it."""
        record = self.task.answers(self.source, self.recipe)
        return record.model_copy(update={"thresholds": self.task.thresholds}) if self.task.thresholds else record

    @cached_property
    def tokenizer(self) -> Any:
        return self.source.tokenizer

    @property
    def least_mean_cosine(self) -> float | None:
        """Of a quantized file's vectors: the task's, unless the user states a budget, which says what may be lost."""
        return None if self.recipe.budget.score_drop is not None else self.task.least_mean_cosine

    @cached_property
    def max_length(self) -> int:
        """Tokens after which a text is cut: the model's positions, the folder's or its tokenizer's limit, or the user's if it is lower."""
        family = family_of(self.source.config, self.source.name)
        positions = self.source.config[family.config_positions] - family.reserved_positions(self.source.config)
        sentence = self.source.sentence
        limit = (sentence.max_length if sentence else None) or self.tokenizer.model_max_length
        return min(positions, limit, self.recipe.max_length or positions)

    @cached_property
    def corpus(self) -> Corpus:
        """The texts that the vocabulary is cut to."""
        return read_corpus(self.recipe.vocabulary or TRAIN_SPLIT, self.data, self.task, self.unlabelled_rows)

    @cached_property
    def vocabulary_cut(self) -> "VocabularyCut":
        """The tokenizer with the pieces that the corpus needs. EdgepackError where that is nearly all of them."""
        from edgepack.model.pieces import cut_to_corpus

        spec = json.loads(self.tokenizer.backend_tokenizer.to_str())
        vocab = self.source.config["vocab_size"]
        texts = (*self.corpus.texts, *self.task.prompts(self.answers))
        also = _ids_of_config(self.source, self.recipe.trust_remote_code)
        cut = cut_to_corpus(spec, texts, also, self.source.name, self.task.texts(self.rows("dev")))
        if len(cut.order) > WORTH_CUTTING * vocab:
            raise EdgepackError(
                f"the corpus needs {len(cut.order):,} of the vocabulary's {vocab:,} pieces, so a cut would save almost nothing",
                "leave --vocabulary out, or give texts of only the language or domain that the model is for",
            )
        return cut

    def rows(self, split: str) -> list[Row]:
        return self.data.splits.get(split, []) if self.data else []

    @cached_property
    def train(self) -> list[Features]:
        return self._drawn("train")

    @cached_property
    def dev(self) -> list[Features]:
        return self._drawn("dev")

    def _drawn(self, split: str) -> list[Features]:
        """Rows were drawn when they were read. Of running text, which keeps its order, the blocks are: the first ones are a sample too."""
        features = self.encoded(self.rows(split))
        if not self.task.joins_rows:
            return features
        return [replace(item, row=index) for index, item in enumerate(drawn(features))]

    @cached_property
    def unlabelled_rows(self) -> list[Row]:
        return load_unlabelled(self.recipe.unlabelled, self.task, self.recipe.columns) if self.recipe.unlabelled else []

    @cached_property
    def training(self) -> list[Features]:
        """The train split, and after it the texts without labels."""
        first = len(self.rows("train"))
        return self.train + [replace(item, row=item.row + first) for item in self.encoded(self.unlabelled_rows)]

    @cached_property
    def test(self) -> list[Features]:
        return self.encoded(self.rows("test"))

    @cached_property
    def sample(self) -> tuple[list[Row], list[Features]]:
        """A few real texts, short and long, and nasty ones, and what the model reads of each: behind its default prompt, where it has one.

        For the check of an export and for golden vectors.
        """
        rows = sorted(self.rows("test"), key=lambda row: len(row.text) + len(row.context) + len(row.words))
        picked = [rows[round(at)] for at in np.linspace(0, len(rows) - 1, min(_SAMPLE_ROWS, len(rows)))] if rows else []
        pairs = self.task.reads_pairs or any(row.text_pair is not None for row in picked)
        picked += self._example if self.data is None else []
        picked += [row for text in NASTY if (row := self.task.row_of_text(text))]
        if pairs:
            picked += [Row("", text=text, text_pair=other) for text, other in zip(NASTY, reversed(NASTY), strict=True)]
        features = self.task.encode(self.tokenizer, self.task.prompted(picked, self.answers), self.max_length)
        first = {item.row: item for item in reversed(features) if item.ids}  # one window of a long text is enough here
        return picked, [first[index] for index in sorted(first)]

    @cached_property
    def _example(self) -> list[Row]:
        """The task's example in the language that the tokenizer was made for, which a README then asks; none where that is English."""
        known = self.tokenizer.backend_tokenizer
        pieces = (known.decode([index]) for index in range(known.get_vocab_size()))
        language = language_of(pieces, lambda text: len(self.tokenizer.tokenize(text)))
        if language is None:
            return []
        texts = examples_in(language)
        call, _ = self.task.call_of(None if self.answers is None else self.answers.as_json(), len(self.id2label), self.task.reads_pairs)
        row = self.task.row_of_call([(name, texts[text]) for name, text in call])
        return [row] if row else []

    @cached_property
    def unfamiliar(self) -> list[Features]:
        """Texts of other scripts, as the task reads them; none where the train split is empty."""
        rows = self.rows("train")
        if not rows:
            return []
        alike = [self.task.row_of_text(text) or replace(rows[0], context=text) for text in UNFAMILIAR]
        features = self.task.encode(self.tokenizer, self.task.prompted(alike, self.answers), self.max_length)
        return [item for item in features if item.ids]

    @property
    def median_length(self) -> int | None:
        return int(np.median([len(item.ids) for item in self.test])) if self.test else None

    @cached_property
    def buckets(self) -> tuple[int, ...]:
        """Lengths that a file of fixed shapes is made for: see `choose_buckets`. The texts are those that a build runs it on."""
        texts = [*self.test, *self.dev] or self.train
        lengths = [len(item.ids) for item in (*texts, *self.sample[1])] if texts else []
        if self.recipe.max_length:
            lengths = [*lengths, self.max_length]
        family = family_of(self.source.config, self.source.name)
        longest = self.recipe.max_length or family.fixed_lengths_end or self.max_length
        return choose_buckets(lengths, min(self.max_length, longest), self.recipe.length)

    def encoded(self, rows: list[Row]) -> list[Features]:
        """EdgepackError names a row of which the tokenizer makes nothing."""
        features = self.task.encode(self.tokenizer, self.task.prompted(rows, self.answers), self.max_length) if rows else []
        check_tokens(features, rows, self.max_length)
        return features


def gather(recipe: Recipe) -> Material:
    """Model and data of a recipe, with every complaint that can come before the model is loaded."""
    source = find_model(recipe.model, recipe.trust_remote_code, base=recipe.base, revision=recipe.revision)
    for line in source.check_tokenizer():
        say(line)
    task = task_named(recipe.task or source.task())
    if task.decodes:
        check_end_of_text(source.config)
    source.shape(task.name)
    source.check_texts(task)
    if task.names_labels and (line := contradiction(source.config, f"{source.folder.name}/config.json")):
        say(line)
    source.check_padding(task, getattr(source.config_of_library(recipe.trust_remote_code), "pad_token_id", None))
    if recipe.dimensions is not None and not task.gives_vectors:
        raise EdgepackError(f"--dimensions {recipe.dimensions}: {task.name} gives no vectors of texts", "leave it out")
    task = task.fitted(task, source, recipe)
    data = load_data(recipe.data, task, recipe.columns, recipe.seed) if recipe.data else None
    if data and not task.joins_rows:  # a row of running text goes on where the one before it ends
        data = mixed(data)
    names = dict(enumerate(source.labels)) if task.names_labels else {}
    material = Material(recipe, source, task, in_model_names(data, names, source.name) if data else None)
    _ = material.labels, material.unlabelled_rows, material.answers, material.tokenizer
    _check_lengths(material)
    if recipe.cuts_vocabulary:
        _ = material.vocabulary_cut
    return material


def _check_lengths(material: Material) -> None:
    """EdgepackError: a text cannot be cut to the limit. A long text is encoded, and the first row of each split: all rows take time."""
    task, long_text = material.task, material.task.row_of_text(" ".join(NASTY))
    splits = [] if task.joins_rows else [material.rows(name) for name in ("train", "dev", "test")]
    for rows in (*splits, [long_text] if long_text else []):
        task.check_lengths(material.tokenizer, rows, material.max_length)
        _ = material.encoded(rows[:1])


def _ids_of_config(source: Source, trust_remote_code: bool) -> set[int]:
    """Ids that a model's configs name, its defaults too. Families that count positions from the padding keep what is below it."""
    config = source.config_of_library(trust_remote_code).to_dict()
    generation = source.folder / "generation_config.json"
    stated = config | (read_json_object(generation, CONFIG_BYTES, "save the model again") if generation.is_file() else {})
    values = [stated[name] for name in stated if name.endswith(("_token_id", "_token_ids"))]
    values += [config.get("pad_token_id"), config.get("bos_token_id"), config.get("eos_token_id")]
    ids = {index for value in values for index in (value if isinstance(value, list) else [value]) if isinstance(index, int)}
    ids |= set(range(family_of(source.config, source.name).reserved_positions(config)))
    return {index for index in ids if 0 <= index < source.config["vocab_size"]}


def save_outputs(path: Path, outputs: Outputs) -> None:
    """Outputs of any lengths in one npz: all rows one below the other, and how many each has."""
    stacked = [np.atleast_2d(output).astype(np.float32) for output in outputs]
    np.savez(path, values=np.concatenate(stacked), counts=[len(part) for part in stacked], flat=outputs[0].ndim == 1)


def load_outputs(path: Path) -> Outputs:
    """The outputs that save_outputs has written: one array for each row."""
    with np.load(path, allow_pickle=False) as file:
        parts = np.split(file["values"], np.cumsum(file["counts"])[:-1])
        return [part[0] for part in parts] if file["flat"] else parts
