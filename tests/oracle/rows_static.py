"""StaticEmbedding of sentence-transformers, and model2vec's tables: every way of storing one, what stands behind it, what is refused."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import libraries
import small
import tokenizer_kinds
import torch
from rows_basic import TEXTS
from rows_embeddings import FEATURES, NORMALIZE, PROMPTED, PROMPTS, WITH_DEFAULT, Part, dense, pooling, write_json, write_weights
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from situation import Calls, Situation
from tokenizers import Tokenizer

WIDTH = 64
TABLE = "sentence_transformers.models.StaticEmbedding"
LAYER_NORM: Part = ("sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm", {"dimension": WIDTH})
Weights = dict[str, torch.Tensor]


def word_pieces() -> Tokenizer:
    """With [CLS] and [SEP] around a text, which the library does not ask for."""
    return Tokenizer.from_str(small.word_pieces())


def rows_of(tokenizer: Tokenizer) -> torch.Tensor:
    return torch.randn(tokenizer.get_vocab_size(), WIDTH, generator=torch.Generator().manual_seed(2))


def as_model2vec(rows: torch.Tensor) -> Weights:
    """Fewer rows than tokens, each token's own, and a factor of each token."""
    mapping = torch.arange(len(rows)) % (len(rows) // 3)
    return {"embeddings": rows[: len(rows) // 3].contiguous(), "mapping": mapping, "weights": rows[:, 0].abs().contiguous()}


def table(
    folder: Path,
    parts: Sequence[Part] = (),
    tokenizer: Callable[[], Tokenizer] = word_pieces,
    weights: Callable[[torch.Tensor], Weights] = lambda rows: {"embedding.weight": rows},
    prompts: dict[str, object] | None = None,
    after: Callable[[Path], object] | None = None,
    below: str = "",
) -> None:
    """As the library writes it. below: where the table lies in the folder; after(folder) changes what was written."""
    made_of = tokenizer()
    (folder / below).mkdir(exist_ok=True)
    made_of.save(str(folder / below / "tokenizer.json"))
    save_file(weights(rows_of(made_of)), folder / below / "model.safetensors")
    modules = [{"idx": 0, "name": "0", "path": below, "type": TABLE}]
    for index, (kind, config) in enumerate(parts, 1):
        path = f"{index}_{kind.rpartition('.')[2]}"
        modules.append({"idx": index, "name": str(index), "path": path, "type": kind})
        write_json(folder / path / "config.json", config)
        write_weights(folder / path, kind, config)
    write_json(folder / "modules.json", modules)
    if prompts is not None:
        write_json(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "3.0.0"}} | prompts)
    if after:
        after(folder)


def saved_by_the_library(folder: Path) -> None:
    tokenizer = word_pieces()
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, rows_of(tokenizer))], device="cpu").save_pretrained(str(folder))


def cut_at(length: int, direction: str) -> Callable[[], Tokenizer]:
    def tokenizer() -> Tokenizer:
        made_of = word_pieces()
        made_of.enable_truncation(length, direction=direction)
        made_of.enable_padding(length=2 * length)
        return made_of

    return tokenizer


def beside(name: str, **content: object) -> Callable[[Path], None]:
    return lambda folder: write_json(folder / name, content)


def fewer_rows(rows: torch.Tensor) -> Weights:
    return {"embedding.weight": rows[:100].contiguous()}


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def row(
    name: str, parts: Sequence[Part] = (), calls: Calls = TEXTS, oracle: dict[str, object] | None = None, refused: str | None = None,
    recipe: dict[str, object] | None = None, formats: tuple[str, ...] = ("onnx",), tolerance: float = 2e-3, **more: object,
) -> Situation:  # fmt: skip
    return Situation(
        f"static embedding: {name}",
        FEATURES,
        partial(table, parts=parts, **more),
        calls,
        partial(libraries.embed, **(oracle or {})),
        recipe or {},
        refused,
        formats=formats,
        tolerance=tolerance,
    )


BOTH = ("onnx", "tflite")
EMPTY = (("turn on the light",), ("",), (" \n\t",))
STORED = [
    row("the table alone", formats=BOTH),
    Situation("static embedding: saved by the library", FEATURES, saved_by_the_library, TEXTS, libraries.embed),
    row("the table in a folder below", [NORMALIZE], below="0_StaticEmbedding"),
    row("model2vec's rows, mapping and weights", [NORMALIZE], weights=as_model2vec, formats=BOTH),
    row("model2vec's rows alone", [NORMALIZE], weights=lambda rows: {"embeddings": rows}),
    row("in fp16", weights=lambda rows: {"embedding.weight": rows.half()}, tolerance=1e-2),
    row("beside model2vec's config", after=beside("config.json", model_type="model2vec", normalize=True, hidden_dim=WIDTH)),
    row("beside a tokenizer_config.json", after=beside("tokenizer_config.json", do_lower_case=False, model_max_length=8)),
]
TOKENIZED = [
    *(
        row(f"tokens of {kind}", [NORMALIZE], tokenizer=getattr(tokenizer_kinds, kind))
        for kind in ("llama3", "llama2", "roberta", "sentence_piece")
    ),
    row("cut by its tokenizer.json", tokenizer=cut_at(12, "right")),
    row("cut on the left by its tokenizer.json", tokenizer=cut_at(12, "left"), formats=BOTH),
    row("cut at a length that the user gives", tokenizer=cut_at(20, "left"), recipe={"max_length": 20}),
]
BEHIND = [
    row("Normalize", [NORMALIZE], formats=BOTH),
    row("Dense with tanh", [dense(WIDTH, 16)], formats=BOTH),
    row("LayerNorm, Dense and Normalize", [LAYER_NORM, dense(WIDTH, 48), NORMALIZE]),
    row("Dropout does nothing", [("sentence_transformers.models.Dropout", {"dropout": 0.5})]),
    row("fewer dimensions", recipe={"dimensions": 12}, oracle={"truncate_dim": 12}, formats=BOTH),
    row("fewer dimensions of Dense", [dense(WIDTH, 16)], recipe={"dimensions": 12}, oracle={"truncate_dim": 12}),
    row("fewer dimensions, as the folder says", [NORMALIZE], prompts={"truncate_dim": 12}),
    row(
        "fewer dimensions, 1 long again",
        [NORMALIZE],
        recipe={"dimensions": 12},
        oracle={"truncate_dim": 12, "normalize_embeddings": True},
    ),
    row("an empty text", calls=EMPTY, oracle={"compares": True}, formats=BOTH),
    row("an empty text, Dense with tanh", [dense(WIDTH, 16), NORMALIZE], EMPTY, formats=BOTH),
    row("an empty text, LayerNorm and fewer dimensions", [LAYER_NORM], EMPTY, {"truncate_dim": 12}, recipe={"dimensions": 12}),
    row("an empty text behind the default prompt", [], (*EMPTY, ("", "")), prompts=WITH_DEFAULT),
    row("prompts by name", [NORMALIZE], PROMPTED, prompts={"prompts": PROMPTS, "default_prompt_name": None}),
    row("a default prompt", [], PROMPTED, prompts=WITH_DEFAULT),
    row("compared by dot product", [], oracle={"compares": True}, prompts={"similarity_fn_name": "dot"}),
]
REFUSED = [
    row("a tokenizer with more tokens than rows", weights=fewer_rows, refused="the table in model.safetensors has 100 rows"),
    row("no tokenizer", after=lambda folder: (folder / "tokenizer.json").unlink(), refused="no tokenizer.json.*StaticEmbedding"),
    row("no table", after=lambda folder: (folder / "model.safetensors").unlink(), refused="no model.safetensors"),
    row("a pickled table", after=pickled, refused="pickled weights only .pytorch_model.bin"),
    row("weights of something else", weights=lambda rows: {"wte": rows}, refused="no embedding.weight.*no embeddings"),
    row("a table in integers", weights=lambda rows: {"embeddings": rows.to(torch.int8)}, refused="stores embeddings as 'I8'"),
    row(
        "a mapping behind the rows",
        weights=lambda rows: as_model2vec(rows) | {"mapping": torch.arange(len(rows))},
        refused="mapping names the row",
    ),
    row("weights of other tokens", weights=lambda rows: as_model2vec(rows) | {"weights": torch.ones(3)}, refused=r"weights.*\[3\]"),
    row(
        "a length of a transformer",
        after=beside("sentence_bert_config.json", max_seq_length=12),
        refused="json stands beside",
    ),
    row("a pooling behind it", [pooling("mean")], refused="Pooling stands twice"),
    row("a student", recipe={"student": "1x64"}, refused="--student.*without layers"),
    row("fewer heads", recipe={"prune_heads": 0.5}, refused="--prune-heads.*without layers"),
    row("labels", recipe={"task": "text-classification"}, refused="gives vectors of texts and nothing else"),
]


SITUATIONS = [*STORED, *TOKENIZED, *BEHIND, *REFUSED]
