"""What a target must know to run a model file: runnable.json, which targets/ reads. It stands beside every model file."""

import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from edgepack.core.errors import EdgepackError
from edgepack.core.fields import FileName, Identifier, OneLine, Sha256, TensorName
from edgepack.core.reading import read_json_object
from edgepack.core.records import Frozen
from edgepack.core.showing import shown
from edgepack.plan.coding import CodecName, StartName
from edgepack.tasks import task_named

RUNNABLE_FILE = "runnable.json"
_INDEX = re.compile(r"0|[1-9][0-9]{0,7}")


class Session(Frozen):
    """Settings that the runtime's session needs for this file to be as fast as it was measured."""

    graph_optimization_level: Literal["disable_all", "basic", "extended", "all"]
    disabled_optimizers: tuple[OneLine, ...] = ()
    config: dict[Literal["session.disable_prepacking"], OneLine] = Field(
        default_factory=dict
    )  # other settings may name files that a runtime reads or writes


class CacheLayer(Frozen):
    """A layer whose keys and values are kept between tokens: in ONNX past and present are [batch, heads, tokens, head_size]."""

    layer: int
    heads: int
    head_size: int


class Coded(Frozen):
    """Weights that lie coded in the pack: the file `coded` decodes to `file`, which has so many bytes and this hash."""

    file: FileName
    coded: FileName
    bytes: int = Field(gt=0)
    sha256: Sha256
    codec: CodecName
    start: StartName


class Runnable(Frozen):
    """What a target reads to open and run the model file: its inputs, outputs and the session's settings."""

    task: Identifier
    model: FileName  # file name; weights lie beside it in a file whose name starts with this one
    inputs: tuple[TensorName, ...]
    outputs: tuple[TensorName, ...]
    per_token: bool
    pad_id: int
    vocab: int
    session: Session | None = None  # of onnxruntime
    cache: tuple[CacheLayer, ...] = ()  # decoders only
    score_model: FileName | None = None  # the same graph with logits for every token, sharing the weights
    positions: int | None = None  # tokens that a decoder can have seen
    stop_ids: tuple[int, ...] = ()
    start_id: int | None = None  # of a decoder: the token in the place of a prompt without tokens, which it refuses otherwise
    empty_output: tuple[float, ...] | None = None  # of a text without tokens, which it refuses otherwise: nothing is run for it
    weight_cache: bool = False  # the first start leaves weights as the kernels want them in files of their own, and later ones map those
    buckets: tuple[int, ...] = ()  # tokens that a file of fixed shapes reads at once, a signature each, in rising order
    coded: Coded | None = None  # None: the weights lie in the pack as a runtime reads them
    # What an app's code asks too; a pack states them, an export that is not a pack yet does not.
    max_length: int | None = None  # tokens after which a text is cut
    labels: dict[str, str] = Field(default_factory=dict)  # names by index
    answers: dict[str, Any] | None = None  # how answers are formed: the task's `answer_record`; None: a pack made before there was one

    @model_validator(mode="after")
    def _labels_are_numbered(self) -> Self:
        """From 0 on without a gap, as whoever reads them sorts them by number."""
        wrong = next((key for key in self.labels if not (_INDEX.fullmatch(key) and int(key) < len(self.labels))), None)
        if wrong is not None:
            problem = f"the pack's labels have the number {shown(wrong)}: they are numbered from 0 to {len(self.labels) - 1}"
            raise EdgepackError(problem, "build or copy the pack again")
        return self

    @model_validator(mode="after")
    def _answers_are_the_task_s(self) -> Self:
        if self.answers is not None:
            record = task_named(self.task).answer_record
            if record is None:
                raise EdgepackError(f"a pack for {self.task} states how answers are formed: {self.answers}", "build the pack again")
            record.read(self.answers, "the pack's `answers`")
        return self

    @property
    def is_decoder(self) -> bool:
        """Whether the file writes text token by token, with its keys and values kept."""
        return bool(self.cache)

    def has_model_file(self, name: str) -> bool:
        """Whether a file of the pack is the graph, its weights, or its coded weights."""
        return name.startswith(self.model) or (self.coded is not None and name == self.coded.coded)

    @property
    def reads_several(self) -> bool:
        """Whether a run may have several texts, padded to the longest: the file then says which tokens are padding."""
        return "attention_mask" in self.inputs

    @property
    def has_fixed_lengths(self) -> bool:
        """Whether the file reads texts of a few lengths only, to which shorter ones are padded."""
        return bool(self.buckets)


def read_runnable(folder: Path) -> Runnable:
    """EdgepackError: the folder has none, or one that cannot be read."""
    path = folder / RUNNABLE_FILE
    if not path.is_file():
        raise EdgepackError(f"{str(folder)!r} has no {RUNNABLE_FILE}", "give a folder that edgepack exported a model into")
    return Runnable.read(read_json_object(path, fix="export the model again", verb="is damaged"), str(path))


def write_runnable(folder: Path, runnable: Runnable) -> None:
    """runnable: a Manifest too, of which only what a target must know is written."""
    stated = {name: value for name, value in runnable.as_json().items() if name in Runnable.model_fields}
    (folder / RUNNABLE_FILE).write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")
