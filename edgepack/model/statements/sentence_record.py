"""What a sentence-transformers folder states, as data: the parts behind the transformer, in their order, and how texts are put to it."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field

from edgepack.core.records import Frozen
from edgepack.tasks.common.similarity import PromptTokens, Similarity

PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
SpladeStrategy = Literal["max", "sum"]
SpladeActivation = Literal["relu", "log1p_relu"]


class Pooling(Frozen):
    """Token vectors [tokens, hidden] become one vector [modes * hidden], the modes' vectors one behind the other.

    left_out: prompts whose tokens are left out of the vector where a text begins with one; known once the tokenizer is.
    """

    part: Literal["pooling"] = "pooling"
    modes: tuple[PoolingMode, ...]
    include_prompt: bool = True
    left_out: tuple[PromptTokens, ...] = ()


class TokenMean(Frozen):
    """Token vectors [tokens, hidden] become their mean [hidden], and those of a text without a token zeros: a StaticEmbedding's."""

    part: Literal["token_mean"] = "token_mean"


class Dense(Frozen):
    """y = activation(W x + b), plus x, or its projection, where `residual`."""

    part: Literal["dense"] = "dense"
    width_in: int = Field(gt=0)
    width_out: int = Field(gt=0)
    bias: bool
    activation: str  # a class of torch.nn
    residual: bool
    folder: str  # with its weights
    weights: str = "model.safetensors"


class LayerNorm(Frozen):
    """A LayerNorm over a vector of `width` numbers; its weights are in `folder`."""

    part: Literal["layer_norm"] = "layer_norm"
    width: int = Field(gt=0)
    folder: str


class Normalize(Frozen):
    """To a length of 1."""

    part: Literal["normalize"] = "normalize"


class Splade(Frozen):
    """Logits of tokens over the vocabulary [tokens, vocabulary] become one sparse vector [vocabulary] (Formal 2021): the largest, or
    the sum, of log(1 + relu(logit)); `log1p_relu` takes log(1 + x) once more."""

    part: Literal["splade"] = "splade"
    strategy: SpladeStrategy
    activation: SpladeActivation


Part = Annotated[Pooling | TokenMean | Splade | Dense | LayerNorm | Normalize, Field(discriminator="part")]


class SentenceStatement(Frozen):
    """parts: behind the transformer; none of a CrossEncoder, whose head is the model's own."""

    parts: tuple[Part, ...] = ()
    max_length: int | None = None  # tokens after which a text is cut; None: the tokenizer's own limit
    lower_case: bool = False
    prompts: dict[str, str] = Field(default_factory=dict)  # by name; put before a text
    default_prompt: str | None = None
    similarity: Similarity = "cosine"
    dimensions: int | None = None  # so many of a vector's first numbers are kept where the user asks for no other number
    most_active: int | None = None  # of a sparse vector: so many of its largest weights stay, and the others become 0
    labels: tuple[str, ...] = ()  # of a SetFit model, whose last part gives their logits
    function: Literal["softmax", "sigmoid"] = "softmax"  # what makes scores of those

    @property
    def embeds(self) -> bool:
        """Whether the folder is a SentenceTransformer: a text becomes a vector."""
        return bool(self.parts)

    @property
    def is_plain_mean(self) -> bool:
        """Whether the vector is the mean over tokens, as of a folder that states nothing."""
        return self.parts == (Pooling(modes=("mean",)),) and self.dimensions is None

    @property
    def is_token_mean(self) -> bool:
        """Whether the vector is the mean of a table's rows, as it is or scaled to length 1: each number of it comes from one column."""
        return self.dimensions is None and all(isinstance(part, TokenMean | Normalize) for part in self.parts)

    @property
    def includes_prompts(self) -> bool:
        """Whether the tokens of a prompt are part of the vector, as all others."""
        return all(part.include_prompt for part in self.parts if isinstance(part, Pooling))

    def without_prompts(self, prompts: Iterable[PromptTokens]) -> Self:
        """The same, with these prompts left out of the vector; a longer one counts first where a text begins with two."""
        ordered = tuple(sorted(set(prompts), key=lambda each: len(each.begin)))
        parts = tuple(part.model_copy(update={"left_out": ordered}) if isinstance(part, Pooling) else part for part in self.parts)
        return self.model_copy(update={"parts": parts})

    @property
    def has_widths(self) -> bool:
        """Whether a part's weights fit one width of the transformer only."""
        return any(isinstance(part, Dense | LayerNorm | Splade) for part in self.parts)

    @property
    def is_sparse(self) -> bool:
        """Whether the vector has a weight for each token of the vocabulary, most of them 0: a SparseEncoder's."""
        return any(isinstance(part, Splade) for part in self.parts)
