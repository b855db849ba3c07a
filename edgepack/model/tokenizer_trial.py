"""Asks a tokenizer for a few texts when its folder is read, so that what its library stumbles over is refused before work begins."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.errors import EdgepackError, stopped_in_rust
from edgepack.core.showing import shown
from edgepack.model.statements.statement_file import refusal
from edgepack.model.statements.tokenizer_config import FILE as CONFIG_FILE
from edgepack.model.statements.tokenizer_config import WHOLE_FILE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Characters that hardly any vocabulary has, of kinds that normalizers treat alike and otherwise; the first texts are plain.
_TEXTS = ("a", "Is it 3?", "\U00012000", "ꙮ", "🫠", "㍿", "ΐ", "\ue000", "a\U00012000 ꙮ🫠")
_FIX = (
    "add the token to the vocabulary, with a row of the model's embeddings, or name one that the vocabulary has as model.unk_token, and as "
    "unk_token in tokenizer_config.json"
)


_LARGEST = 1_000_000  # tokens: above it a limit means none, and some libraries write it as 1e30


def check_limit(limit: Any) -> None:
    """EdgepackError: the length to which a tokenizer cuts is no number of tokens."""
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not (limit >= _LARGEST or (isinstance(limit, int) and limit > 0)):
        why = "it is the number of tokens to which a text is cut"
        raise refusal(CONFIG_FILE, "model_max_length", limit, why, "write a whole number from 1 on, or remove it")


def try_tokenizer(tokenizer: "Tokenizer", folder: Path) -> None:
    """EdgepackError: a text with a word that the vocabulary does not have is an error, or the library gives up on any text."""
    unknown = getattr(tokenizer.model, "unk_token", None)
    kind = type(tokenizer.model).__name__
    if kind in ("WordPiece", "WordLevel") and tokenizer.model.token_to_id(unknown or "") is None:
        raise EdgepackError(
            f"{folder / WHOLE_FILE}: the vocabulary of its {kind} does not have {shown(unknown)}, the token for unknown words: a text with "
            "such a word could not be read",
            _FIX,
        )
    padding = tokenizer.padding
    tokenizer.no_padding()  # no text is padded later either
    try:
        for text in _TEXTS:
            tokenizer.decode(tokenizer.encode(text).ids)
    except BaseException as error:  # the library raises nothing more precise, and in Rust what is no Exception
        if not isinstance(error, Exception) and stopped_in_rust(error) is None:
            raise
        raise _refusal(folder, kind, str(error)) from None
    finally:
        if padding is not None:
            tokenizer.enable_padding(**padding)


def _refusal(folder: Path, kind: str, reason: str) -> EdgepackError:
    reason = (reason.strip().splitlines() or [""])[0]
    problem = f"{folder / WHOLE_FILE}: the tokenizers library fails on a text with its {kind}: {shown(reason)}"
    if "unk" not in reason.casefold():
        return EdgepackError(problem, "save the tokenizer again, or download it again")
    return EdgepackError(
        f"{problem}. A text with a character that the vocabulary does not have could not be read",
        "set model.unk_id to the number of the piece for unknown characters" if kind == "Unigram" else _FIX,
    )
