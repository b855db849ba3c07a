"""A table of tokens' vectors (StaticEmbedding) as a model of transformers, so that stages save, cut and export it as any other.

It is registered with transformers' Auto classes when this module is imported. How a text's vector is made of its tokens' vectors, which
sentence-transformers computes in the same class, is in sentence_head.py.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from edgepack.model.table_folder import FOLDED, TABLE, WEIGHTS

MODEL_TYPE = "static-embedding"


class StaticEmbeddingConfig(PretrainedConfig):
    """vocab_size rows of hidden_size numbers; all else says that there is nothing more."""

    model_type = MODEL_TYPE

    def __init__(self, vocab_size: int = 1, hidden_size: int = 1, max_position_embeddings: int = 1, **settings: Any) -> None:
        self.vocab_size, self.hidden_size, self.max_position_embeddings = vocab_size, hidden_size, max_position_embeddings
        facts = {"num_hidden_layers": 0, "num_attention_heads": 1, "pad_token_id": None}
        super().__init__(**settings | facts)


class StaticEmbeddingModel(PreTrainedModel):
    """Token ids [rows, tokens] become vectors [rows, tokens, hidden_size]."""

    config_class = StaticEmbeddingConfig
    base_model_prefix = "static"
    _supports_sdpa = _supports_attention_backend = True  # there is no attention that could be another

    def __init__(self, config: StaticEmbeddingConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList()
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table, which a cut of the vocabulary shortens."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """As transformers asks for it."""
        self.embedding = value

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any) -> BaseModelOutput:
        """attention_mask: not read here; who makes a text's vector leaves padding out."""
        return BaseModelOutput(last_hidden_state=self.embedding(input_ids))


AutoConfig.register(MODEL_TYPE, StaticEmbeddingConfig)
AutoModel.register(StaticEmbeddingConfig, StaticEmbeddingModel)


def load_table(folder: Path, config: dict[str, Any], columns: int | None = None) -> nn.Module:
    """The model of a table's folder, whose config was read from its weights. In fp32, with its first columns alone where so asked."""
    table = _table(folder / WEIGHTS).to(torch.float32)[:, :columns].contiguous()
    model = StaticEmbeddingModel(StaticEmbeddingConfig(**config | {"hidden_size": table.shape[1]}))
    model.embedding.weight = nn.Parameter(table)
    return model


def _table(path: Path) -> torch.Tensor:
    """[vocabulary, width]: as it is stored, or put together of model2vec's three parts as sentence-transformers does it."""
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        if TABLE in names:
            return file.get_tensor(TABLE)
        rows, mapping, weights = (file.get_tensor(name) if name in names else None for name in FOLDED)
    table = rows if mapping is None else rows[mapping.long()]
    if weights is None:
        return table
    wide = torch.promote_types(table.dtype, torch.float32)
    return (table.to(wide) * weights[:, None]).to(table.dtype)
