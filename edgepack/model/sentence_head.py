"""Makes a text's vector from its tokens' vectors, as a sentence-transformers folder states it. It is part of the model's graph."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.model.statements.dense_config import WEIGHTS
from edgepack.model.statements.modules_json import transformer_folder
from edgepack.model.statements.sentence_record import Dense, LayerNorm, Part, Pooling, SentenceStatement, Splade
from edgepack.model.vocabulary_head import VocabularyHead

NAME = "sentence_head"  # of the module in the model, and so of its weights in a checkpoint
_STATEMENT = "sentence_statement"
_LOWEST = -60000.0  # below every hidden state, and a number in fp16 too
_SMALLEST = 1e-12
_HALVINGS = 40  # of an interval from 0 to the largest weight: closer than fp32 tells weights apart


class SentenceHead(nn.Module):
    """Token vectors [rows, tokens, hidden] and their mask become vectors of texts [rows, width].

    logits: what makes logits over the vocabulary of the token vectors first, where those are pooled.
    dimensions: only so many of a vector's first numbers stay (Kusupati 2022, Matryoshka), again 1 long where the model makes it so.
    Padding changes nothing, on whichever side it stands; where prompts are left out of a vector, it stands behind the text.
    """

    def __init__(
        self, statement: SentenceStatement, hidden: int, dimensions: int | None = None, logits: nn.Module | None = None, vocabulary: int = 0
    ) -> None:
        super().__init__()
        self.statement, self.dimensions, self.logits, self.width_in = statement, dimensions, logits, hidden
        hidden = vocabulary if logits is not None else hidden
        self.parts, self.width = nn.ModuleList(), hidden
        for part in statement.parts:
            module = _MODULES[part.part](part)
            width_in = part.width_in if isinstance(part, Dense) else part.width if isinstance(part, LayerNorm) else self.width
            if width_in != self.width:
                raise EdgepackError(
                    f"{part.folder}/config.json states vectors of {width_in}, the part before it gives {self.width}",
                    "save or download the model again",
                )
            self.width = part.width_out if isinstance(part, Dense) else self.width * (len(part.modes) if isinstance(part, Pooling) else 1)
            self.parts.append(module)
        if dimensions is not None and dimensions > self.width:
            raise EdgepackError(f"--dimensions {dimensions}: the model's vectors have {self.width} numbers", "give fewer")

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None, ids: torch.Tensor | None = None) -> torch.Tensor:
        """mask: None where every token of every text is real. ids: of the tokens, by which a prompt is found that is left out."""
        first = self.parts[0]
        if isinstance(first, _Pooling) and first.left_out:
            vectors = first.behind_prompts(hidden, mask, ids)
        else:
            vectors = first(hidden if self.logits is None else self.logits(hidden), mask)
        for part in self.parts[1:]:
            vectors = part(vectors)
        if self.statement.most_active:
            vectors = _largest(vectors, min(self.statement.most_active, self.width))
        if self.dimensions is None:  # the library cuts as its folder says, and leaves vectors as short as they become
            return vectors[:, : self.statement.dimensions] if self.statement.dimensions else vectors
        if self.dimensions == self.width:
            return vectors
        vectors = vectors[:, : self.dimensions]
        return normalized(vectors) if any(isinstance(part, _Normalize) for part in self.parts) else vectors

    def of_no_tokens(self) -> tuple[float, ...] | None:
        """[width] of a text without tokens, which the library makes of a StaticEmbedding: its mean is zeros. None: another model's."""
        if not isinstance(self.parts[0], _TokenMean):
            return None
        weight = next(self.parameters(), torch.zeros(1))
        with torch.inference_mode():
            vectors = self(torch.zeros(1, 1, self.width_in, dtype=weight.dtype, device=weight.device), None)
        return tuple(vectors[0].float().tolist())

    def read_weights(self, folder: Path) -> None:
        """Those of Dense and LayerNorm, from the model's folder. EdgepackError: they do not fit what the configs state."""
        for part, module in zip(self.statement.parts, self.parts, strict=True):
            if isinstance(part, Dense | LayerNorm):
                try:
                    module.load_state_dict(load_file(folder / part.folder / (part.weights if isinstance(part, Dense) else WEIGHTS)))
                except RuntimeError as error:
                    reason = " ".join(str(error).split())[:300]
                    raise EdgepackError(f"{part.folder}/{WEIGHTS} does not fit its config.json: {reason}", "save the model again") from None


class _Pooling(nn.Module):
    def __init__(self, part: Pooling) -> None:
        super().__init__()
        self.modes, self.left_out = part.modes, part.left_out

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        hidden = _counting(hidden)
        mask = None if mask is None else mask.to(hidden.dtype)
        vectors = [_POOLED[mode](hidden, mask) for mode in self.modes]
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=-1)

    def behind_prompts(self, hidden: torch.Tensor, mask: torch.Tensor | None, ids: torch.Tensor) -> torch.Tensor:
        """As forward, without the tokens of the longest prompt that a text begins with. Tokens keep their places in a weighted mean."""
        hidden = _counting(hidden)
        whole = _all_real(hidden) if mask is None else mask.to(hidden.dtype)
        behind = _places(whole) - self._tokens_left_out(ids, whole)
        rest = whole * (behind >= 0).to(hidden.dtype)
        vectors = []
        for mode in self.modes:
            if mode == "cls":
                vectors.append((hidden * (1 - behind.abs().clamp(max=1))[:, :, None]).sum(1))
            elif mode == "weightedmean":
                weights = rest * ((_places(whole) + 1) / whole.shape[1])
                vectors.append((hidden * (weights / weights.sum(1, keepdim=True))[:, :, None]).sum(1))
            elif mode == "lasttoken":
                vectors.append(_last(hidden, None if mask is None else whole))
            else:
                vectors.append(_POOLED[mode](hidden, rest))
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, dim=-1)

    def _tokens_left_out(self, ids: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """[rows, 1]"""
        count = torch.zeros_like(whole[:, :1])
        for prompt in self.left_out:  # the longest is the last
            length = len(prompt.begin)
            begin = torch.nn.functional.pad(ids, (0, length), value=-1)[:, :length]
            others = (begin != torch.tensor(prompt.begin, dtype=ids.dtype, device=ids.device)).to(whole.dtype).sum(1, keepdim=True)
            differs = others.clamp(max=1)
            count = count * differs + prompt.count * (1 - differs)
        return count


def _mean(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return hidden.mean(1)
    return (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def _mean_sqrt(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    mask = _all_real(hidden) if mask is None else mask
    return (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).sqrt()


def _max(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return hidden.amax(1)
    return (hidden * mask[:, :, None] + (1 - mask[:, :, None]) * _LOWEST).amax(1)


def _first(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The vector of the first token that is no padding: of all places that are real, the one farthest from the end."""
    if mask is None:
        return hidden[:, 0]
    return _only(hidden, mask * (mask.shape[1] - _places(mask)))


def _last(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return hidden[:, -1]
    return _only(hidden, mask * (_places(mask) + 1))


def _weighted_mean(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The first real token has the weight 1, the next one 2 (Muennighoff 2022); all over the length, as fp16 ends at 65,504."""
    mask = _all_real(hidden) if mask is None else mask
    count = mask.shape[1]
    before_first = count - (mask * (count - _places(mask))).amax(1, keepdim=True)
    weights = mask * ((_places(mask) + 1 - before_first) / count)
    return (hidden * (weights / weights.sum(1, keepdim=True))[:, :, None]).sum(1)


def _only(hidden: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
    """The vector of the place with the highest rank. A sum, as runtimes take an index of each row in different ways."""
    last = (ranks >= ranks.amax(1, keepdim=True)).to(hidden.dtype)
    return (hidden * last[:, :, None]).sum(1)


def _all_real(hidden: torch.Tensor) -> torch.Tensor:
    """A mask [rows, tokens] without padding."""
    return torch.ones_like(hidden[:, :, 0])


def _counting(hidden: torch.Tensor) -> torch.Tensor:
    """In fp32 where a training computes in bf16: places of tokens are counted in the same type, and bf16 has no 257."""
    return hidden.float() if hidden.dtype == torch.bfloat16 else hidden


def _places(mask: torch.Tensor) -> torch.Tensor:
    return torch.arange(mask.shape[1], dtype=mask.dtype, device=mask.device)


_POOLED = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}


class _TokenMean(nn.Module):
    def __init__(self, part: Part) -> None:
        super().__init__()

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        hidden = _counting(hidden)
        if mask is None:
            return hidden.mean(1)
        mask = mask.to(hidden.dtype)
        return (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


class _Splade(nn.Module):
    """Of logits. Padding counts as a logit of 0, which has no weight."""

    def __init__(self, part: Splade) -> None:
        super().__init__()
        self.strategy, self.times = part.strategy, 2 if part.activation == "log1p_relu" else 1

    def forward(self, logits: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        logits = logits.relu() if mask is None else logits.relu() * mask.to(logits.dtype)[:, :, None]
        if self.strategy == "max":  # the logarithm keeps the order, and is so taken once a token of the vocabulary
            return self._weights(logits.amax(1))
        return self._weights(logits).sum(1)

    def _weights(self, logits: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            logits = (logits + 1).log()  # runtimes know no log1p; a weight below 1e-7 becomes 0
        return logits


def _largest(weights: torch.Tensor, count: int) -> torch.Tensor:
    """The largest weights as they are, the others 0. Weights that equal the last of them stay too.

    The smallest that stays is found by halving an interval: TFLite has no op that sorts.
    """
    low, high = torch.zeros_like(weights[:, :1]), weights.amax(-1, keepdim=True)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = ((weights >= middle).to(weights.dtype).sum(-1, keepdim=True) >= count).to(weights.dtype)
        low, high = low + enough * (middle - low), high - (1 - enough) * (high - middle)
    return weights * (weights >= low).to(weights.dtype)


class _Dense(nn.Module):
    def __init__(self, part: Dense) -> None:
        super().__init__()
        self.linear = nn.Linear(part.width_in, part.width_out, bias=part.bias)
        self.activation = getattr(nn, part.activation)()
        self.adds_input = part.residual
        if part.residual and part.width_in != part.width_out:
            self.residual = nn.Linear(part.width_in, part.width_out, bias=False)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        projected = self.activation(self.linear(vectors))
        if not self.adds_input:
            return projected
        return projected + (self.residual(vectors) if hasattr(self, "residual") else vectors)


class _LayerNorm(nn.Module):
    def __init__(self, part: LayerNorm) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(part.width)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.norm(vectors)


class _Normalize(nn.Module):
    def __init__(self, part: Part) -> None:
        super().__init__()

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return normalized(vectors)


def normalized(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1. Their largest number is made 1 first: squares would leave the range of fp16."""
    scaled = vectors / vectors.abs().amax(-1, keepdim=True).clamp(min=_SMALLEST)
    return scaled / scaled.square().sum(-1, keepdim=True).sqrt().clamp(min=_SMALLEST)


_MODULES = {
    "pooling": _Pooling,
    "token_mean": _TokenMean,
    "splade": _Splade,
    "dense": _Dense,
    "layer_norm": _LayerNorm,
    "normalize": _Normalize,
}


def with_head(
    model: nn.Module, statement: SentenceStatement | None, dimensions: int | None = None, folder: Path | None = None
) -> nn.Module:
    """The same model with the head that its folder states; without one where that is the plain mean, or the model's own head.

    folder: where the head's weights are read from. EdgepackError: they do not fit, or there are fewer dimensions than asked for.
    """
    if statement is not None and dimensions == statement.dimensions:
        dimensions = None
    if dimensions is not None and (statement is None or not statement.embeds):
        statement = (statement or SentenceStatement()).model_copy(update={"parts": (Pooling(modes=("mean",)),)})
    setattr(model, _STATEMENT, statement)
    if statement is not None and statement.embeds and (dimensions is not None or not statement.is_plain_mean):
        if dimensions is not None and statement.is_sparse:
            raise EdgepackError(f"--dimensions {dimensions}: a sparse vector has a place for each token", "leave it out")
        logits = VocabularyHead(model.config, None if folder is None else transformer_folder(folder)) if statement.is_sparse else None
        head = SentenceHead(statement, model.config.hidden_size, dimensions, logits, model.config.vocab_size)
        if folder is not None:
            head.read_weights(folder)
        setattr(model, NAME, head)
    return model


def statement_of(model: nn.Module) -> SentenceStatement | None:
    """What the sentence-transformers folder of a model states; None for other models."""
    return getattr(model, _STATEMENT, None)


def dimensions_of(model: nn.Module) -> int | None:
    """How many numbers of a vector stay (Matryoshka); None where all of them do."""
    head = getattr(model, NAME, None)
    return None if head is None else head.dimensions
