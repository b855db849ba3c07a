"""A model folder or hub id, with every check that needs no loading. No torch."""

import hashlib
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import Field

from edgepack.core.cache import RECORD_FILE
from edgepack.core.errors import EdgepackError
from edgepack.core.files import expanded, sha256_of
from edgepack.core.reading import is_there, read_bytes, read_json_object
from edgepack.core.records import Frozen
from edgepack.model import plain_folder, table_folder
from edgepack.model.adapter_base import config_with_head, has_other_tokenizer
from edgepack.model.config_code import check_config
from edgepack.model.plain_folder import CONFIG_BYTES
from edgepack.model.prompt_tokens import tokens_of_prompts
from edgepack.model.safetensors_file import check_safetensors
from edgepack.model.statements.adapter_config import FILE as ADAPTER_FILE
from edgepack.model.statements.adapter_config import WEIGHTS as ADAPTER_WEIGHTS
from edgepack.model.statements.adapter_config import Adapter, read_adapter
from edgepack.model.statements.chat import read_chat, states_chat
from edgepack.model.statements.config_setfit import WEIGHTS as SETFIT_WEIGHTS
from edgepack.model.statements.cross_encoder import read_activation
from edgepack.model.statements.model_config import check_model_config, check_padding
from edgepack.model.statements.modules_json import FILE as MODULES_FILE
from edgepack.model.statements.modules_json import begins_with_table, transformer_folder
from edgepack.model.statements.sentence_folder import read_sentence_folder, unread_files
from edgepack.model.statements.sentence_record import Pooling, SentenceStatement
from edgepack.plan.architectures import family_of
from edgepack.plan.factors import Factor, factored_shape
from edgepack.plan.shape import LayerShape, ModelShape, read_shape, task_of
from edgepack.tasks import all_tasks, task_named
from edgepack.tasks.common.labels import label_names
from edgepack.tasks.common.similarity import PromptTokens
from edgepack.tasks.common.task import Task

KEPT_FILE = "edgepack.json"  # a pruned checkpoint's own list of what is left in each layer
_CONFIGS = ["*.json", "*.txt", "*.model", "*.jinja", "README.md", ADAPTER_WEIGHTS, SETFIT_WEIGHTS]
_WEIGHTS = ["*.safetensors"]
_READ = {".json", ".txt", ".model", ".jinja", ".py", ".safetensors"}


class Kept(Frozen):
    """What is left of each layer of a pruned checkpoint; transformers' config cannot say it."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    layers: tuple[LayerShape, ...]
    sources: tuple[Annotated[int, Field(ge=0)], ...] = ()  # which layers of the model that was read they are; empty: all, in order
    factors: tuple[Factor, ...] = ()  # matrices that are two products
    sentence: SentenceStatement | None = None  # what the folder stated for sentence-transformers, with no file of its own here


@dataclass(frozen=True)
class Source:
    """A model folder that has passed its checks; `name` is its hub id, or the folder's own name.

    folder: with the transformer and its tokenizer. root: the folder that was given, which may hold it in a folder below. Of an
    adapter both are those of its base model.
    """

    name: str
    folder: Path
    root: Path
    config: dict[str, Any]
    record: Kept | None
    weights: tuple[Path, ...]
    licence: str | None
    adapter: Adapter | None = None  # to be merged into the weights
    adapter_folder: Path | None = None
    revision: str | None = None  # the commit of a hub model; of an adapter its own
    base: "Source | None" = None  # of an adapter: the model that it is merged into
    reader: ModuleType = plain_folder  # of the folder's config, tokenizer and weights
    cut_from: "Source | None" = None  # of a stage's checkpoint: the model as it came, whose files beside config.json a stage does not write

    @cached_property
    def sha256(self) -> str:
        """Over every file of the folder that a library reads: config, list of what is kept, weights, tokenizer, generation, code."""
        digest = folder_sha256(self.root)
        return (
            digest if self.adapter_folder is None else hashlib.sha256(f"{digest}{folder_sha256(self.adapter_folder)}".encode()).hexdigest()
        )

    @cached_property
    def sentence(self) -> SentenceStatement | None:
        """What the folder states for sentence-transformers. EdgepackError names what a pack does not reproduce."""
        return self.record.sentence if self.record else read_sentence_folder(self.root)

    def parts_for(self, task: Task) -> SentenceStatement | None:
        """What stands behind the transformer for a task. sentence-transformers takes a plain decoder's last token, as nothing else has
        seen the whole text; of other plain folders the mean."""
        names = self.config.get("architectures") or [""]
        is_decoder = names[0].endswith("ForCausalLM") and self.config.get("is_causal", True)
        stated = self.sentence
        if stated is not None and task.gives_vectors and self.prompt_tokens:
            stated = stated.without_prompts(self.prompt_tokens.values())
        if not task.gives_vectors or not is_decoder or (stated is not None and stated.embeds) or self.record is not None:
            return stated
        return (stated or SentenceStatement()).model_copy(update={"parts": (Pooling(modes=("lasttoken",)),)})

    @cached_property
    def prompt_tokens(self) -> dict[str, PromptTokens]:
        """Of the prompts that a text's vector leaves out, by name. EdgepackError: they depend on the text behind a prompt."""
        if self.sentence is None or self.sentence.includes_prompts:
            return {}
        return tokens_of_prompts(self.tokenizer, self.sentence.prompts, self.name)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names in the order of ids. EdgepackError: config.json names them wrongly."""
        return label_names(self.config, f"{self.folder.name}/config.json")

    @cached_property
    def activation(self) -> str | None:
        """The function behind a CrossEncoder's logits: `sigmoid` or `none`; None for folders that are none."""
        return self.cut_from.activation if self.cut_from else read_activation(self.root, self.config)

    @cached_property
    def tokenizer(self) -> Any:
        """transformers' fast tokenizer of the folder."""
        return self.reader.tokenizer_of(self.folder, self.sentence is not None and self.sentence.lower_case)

    def check_tokenizer(self) -> tuple[str, ...]:
        """Lines for people about what is peculiar. EdgepackError: no tokenizer, or one that is not reproduced."""
        lines = self.reader.check_tokenizer(self.folder, self.config)
        unread = ", ".join(unread_files(self.root))
        return (*lines, f"not read, as sentence-transformers reads it only beside modules.json: {unread}") if unread else tuple(lines)

    def check_texts(self, task: Task) -> None:
        """EdgepackError: sentence-transformers puts texts through a chat template, which is of folders without modules.json."""
        asked = task.gives_vectors or self.activation is not None
        if self.record is None and asked and not (self.root / MODULES_FILE).is_file() and states_chat(self.folder):
            raise EdgepackError(
                f"{self.name} has a chat template and no {MODULES_FILE}: sentence-transformers puts every text through the template then, "
                "which is not reproduced",
                "remove it (chat_template.jinja, or the key in tokenizer_config.json) where texts are to be read as they are",
            )

    def check_padding(self, task: Task, pad_id: Any) -> None:
        """EdgepackError: see `check_padding`. Heads of single tokens, of vectors and of SetFit do not look for the last token."""
        place = f"{self.folder.name}/config.json"
        is_setfit = self.sentence is not None and bool(self.sentence.labels)
        if family_of(self.config, place).causal and task.names_labels and not task.per_token and not is_setfit:
            check_padding(pad_id, place)

    def config_of_library(self, trust_remote_code: bool) -> Any:
        """The config as transformers reads it. EdgepackError: it does not take what the folder states."""
        return self.reader.config_of_library(self.folder, self.config, trust_remote_code)

    @property
    def weights_mb(self) -> float:
        return sum(path.stat().st_size for path in self.weights) / 1e6

    def shape(self, task: str) -> ModelShape:
        place = f"{self.folder.name}/config.json"
        check_model_config(self.config, family_of(self.config, place).causal, place, writes=task_named(task).decodes)
        if "pad_token_id" in self.config:
            self.check_padding(task_named(task), self.config["pad_token_id"])
        rows = None if self.record is None else [row.model_dump() for row in self.record.layers]
        shape = read_shape(self.config, task, rows, place)
        if self.record is not None and self.record.factors:
            shape = factored_shape(shape, self.record.factors)
        if shape.family.is_table:
            return self._of_table(shape)
        return shape.model_copy(update={"vocabulary_head": True}) if self.sentence is not None and self.sentence.is_sparse else shape

    def _of_table(self, shape: ModelShape) -> ModelShape:
        """EdgepackError: a task that needs more than a text's vector."""
        if shape.task != self.task():
            raise EdgepackError(
                f"--task {shape.task}: {self.name} is a {shape.model_type}, which gives vectors of texts and nothing else",
                f"use --task {self.task()}, or leave --task out",
            )
        return shape.model_copy(update={"cut_by_dimensions": self.sentence is not None and self.sentence.is_token_mean})

    @cached_property
    def writing(self) -> dict[str, Any]:
        """What the folder states about continuing a text: generation settings and the chat template, where they change something."""
        from edgepack.model.checkpoint import load_tokenizer
        from edgepack.model.statements.generation_config import read_generation
        from edgepack.model.statements.tokenizer_config import check_written_text

        check_written_text(self.folder)
        return read_generation(self.folder, self.config, self.name) | read_chat(self.folder, lambda: load_tokenizer(self.folder))

    def task(self) -> str:
        """EdgepackError: a family that edgepack does not know, which is the first to be told; or a head that tells no task."""
        family_of(self.config, f"{self.folder.name}/config.json")
        if self.sentence is not None and self.sentence.embeds:  # whatever head the transformer was trained with
            has_labels = bool(self.sentence.labels)
            return next(task.name for task in all_tasks() if (task.scores_vectors if has_labels else task.gives_vectors))
        kind = self.adapter.kind if self.adapter else None
        of_adapter = [task.name for task in all_tasks() if kind is not None and task.adapter_kind == kind]
        return of_adapter[0] if of_adapter else task_of(self.config, f"{self.folder.name}/config.json")


def find_model(
    model: str, trust_remote_code: bool = False, with_weights: bool = True, base: str | None = None, revision: str | None = None
) -> Source:
    """EdgepackError: no such folder, no config, pickle only, truncated weights, code of its own that nobody asked for.

    with_weights=False looks at the config alone, and fetches no more of a hub model. base: where `model` is a LoRA adapter, the
    model that it was trained on, of a hub model with @ and a revision too. revision: of a hub model, a commit, tag or branch.
    """
    commit = None
    folder = expanded(model)
    name = folder.resolve().name  # where it lies on this machine is nobody's business
    if not is_there(folder) or not folder.is_dir():
        if is_there(folder):
            raise EdgepackError(f"the model is a file: {model!r}", "give the folder with config.json and model.safetensors")
        name, folder = model, _download(model, _WEIGHTS + _CONFIGS if with_weights else _CONFIGS, revision)
        if not with_weights and begins_with_table(folder):  # its weights alone tell its shape
            folder = _download(model, _WEIGHTS + _CONFIGS, revision)
        commit = folder.name if re.fullmatch("[0-9a-f]{40}", folder.name) else None  # where the hub's library keeps it
    elif revision is not None:
        raise EdgepackError(f"--revision {revision} is of a hub model, and {model!r} is a folder here", "leave --revision out")
    adapter = read_adapter(folder)
    if base is not None or (adapter is not None and not (folder / "config.json").is_file()):
        return replace(_adapted(name, folder, adapter, base, trust_remote_code, with_weights), revision=commit)
    root, folder = folder, transformer_folder(folder)
    reader = table_folder if begins_with_table(root) else plain_folder
    config = reader.read_config(folder)
    check_config(config, f"{folder.name}/config.json", model, trust_remote_code)
    if adapter is not None:
        raise EdgepackError(
            f"{model} holds a model and a LoRA adapter: which of them is meant is not clear",
            "name the adapter's base with --base, or remove adapter_config.json from the folder",
        )
    weights = tuple(reader.weight_files(folder)) if with_weights else ()
    for path in weights:
        check_safetensors(path)
    kept_file = folder / KEPT_FILE
    record = Kept.read(read_json_object(kept_file, CONFIG_BYTES), f"{folder.name}/{KEPT_FILE}") if kept_file.is_file() else None
    source = Source(name, folder, root, config, record, weights, _licence(root), revision=commit, reader=reader)
    _ = source.sentence  # whatever the task is, the folder is not what it looks like where a part of it is refused
    return _with_labels(source)


def _with_labels(source: Source) -> Source:
    """A SetFit model's labels and problem stand where those of other classifiers do."""
    stated = source.sentence
    if stated is None or not stated.labels or source.record is not None:
        return source
    names = {str(index): name for index, name in enumerate(stated.labels)}
    problem = "multi_label_classification" if stated.function == "sigmoid" else "single_label_classification"
    labels = {"id2label": names, "label2id": {name: int(index) for index, name in names.items()}, "problem_type": problem}
    config = {key: value for key, value in source.config.items() if key != "num_labels"} | labels
    return replace(source, config=config)


def _adapted(name: str, folder: Path, adapter: Adapter | None, base: str | None, trust_remote_code: bool, with_weights: bool) -> Source:
    """The base model with the adapter that is to be merged into it, under the adapter's name."""
    if adapter is None:
        raise EdgepackError(f"--base {base}: {name!r} is no LoRA adapter: it has no {ADAPTER_FILE}", "leave --base out")
    if base is None:
        stated = adapter.base or "MODEL"
        raise EdgepackError(f"{name!r} is a LoRA adapter without the model that it was trained on", f"name that with --base {stated}")
    place, at, revision = (base, "", "") if is_there(expanded(base)) else base.partition("@")
    if at and is_there(expanded(place)):
        raise EdgepackError(f"--base {base}: {place!r} is a folder here, and a revision is of a hub model", f"leave @{revision} out")
    base_source = find_model(place, trust_remote_code, with_weights, revision=revision if at else None)
    if base_source.adapter is not None or base_source.record is not None:
        raise EdgepackError(f"--base {base} is not a plain model folder", "give the model that the adapter was trained on")
    weights = folder / ADAPTER_WEIGHTS
    check_safetensors(weights)
    if has_other_tokenizer(folder, base_source.folder):
        raise EdgepackError(
            f"{name!r} has another tokenizer than --base {base}: such an adapter may have new tokens",
            "remove the tokenizer's files from the adapter's folder where both give the same tokens; else merge with PEFT",
        )
    config = config_with_head(base_source.config, weights)
    licence = _licence(folder) or base_source.licence
    return replace(base_source, name=name, config=config, adapter=adapter, adapter_folder=folder, licence=licence, base=base_source)


def folder_sha256(folder: Path) -> str:
    """Over names and content of the files that say what a model computes; not over cards, pickles and formats that nobody reads."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in _READ and path.is_file() and path.name != RECORD_FILE and not name.startswith("."):
            digest.update(f"{name}:{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _download(model: str, patterns: list[str], revision: str | None) -> Path:
    if revision is not None and not re.fullmatch(r"[A-Za-z0-9][\w./-]{0,199}", revision):
        raise EdgepackError(f"--revision {revision!r} is no commit, tag or branch", "give one that the model's page lists")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model):
        raise EdgepackError(f"model folder not found: {model!r}", "check the path, or give a hub id such as org/name")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except Exception as error:  # network, rights, no such id: the hub's library has a class of its own for each
        reason = str(error).strip().split("\n")[0]
        raise EdgepackError(
            f"no model folder and no hub model: {model!r}{f' at {revision}' if revision else ''} ({reason})",
            "check the path or the id, and the network",
        ) from None


def _licence(folder: Path) -> str | None:
    """The `license:` line of a model card, where the folder has one."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    match = re.search(r"^license:\s*(\S+)", read_bytes(card).decode("utf-8", errors="replace"), re.MULTILINE)
    return match[1] if match else None
