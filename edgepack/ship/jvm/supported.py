"""The tokenizers that the Java code reproduces exactly. Others are refused before anything is shipped."""

from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import TOKENIZER_BYTES, read_json_object
from edgepack.ship.jvm.characters import parts_of

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
EXPRESSIONS = frozenset(
    {
        r"\s+",
        " {2,}",
        rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+",  # GPT-2
        *(  # Llama 3, Qwen 2 and 3
            rf"(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_REST}"
            for digits in ("", "{1,3}")
        ),
        "|".join(  # GPT-4o
            (
                rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+(?i:{_CONTRACTIONS})?",
                rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*(?i:{_CONTRACTIONS})?",
                r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _REST,
            )
        ),
    }
)
_KNOWN = {
    "normalizer": {
        "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace", "Precompiled",
    },
    "pre_tokenizer": {"BertPreTokenizer", "WhitespaceSplit", "Punctuation", "Digits", "Split", "Metaspace", "ByteLevel"},
    "post_processor": {"TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"},
    "decoder": {"ByteLevel", "ByteFallback", "Fuse", "Replace", "Strip", "Metaspace", "WordPiece"},
}  # fmt: skip
_MODELS = ("WordPiece", "BPE", "Unigram")


def check_tokenizer(path: Path, platform: str = "android") -> None:
    """EdgepackError names the first part of a tokenizer.json that the Java code does not know."""
    unknown = _unknown(read_json_object(path, TOKENIZER_BYTES, "build the pack again"))
    if unknown is not None:
        raise EdgepackError(
            f"the {platform} module has no code for a part of {path}: {unknown}",
            "ship it --for python or linux, which use the tokenizers library, or train with a tokenizer without this part",
        )


def _unknown(content: dict[str, Any]) -> str | None:
    for place, known in _KNOWN.items():
        for part in parts_of(content.get(place)):
            if part["type"] not in known:
                return f"{place} {part['type']!r} (known: {', '.join(sorted(known))})"
            expression = part["pattern"].get("Regex") if "pattern" in part else None
            if expression is not None and (expression not in EXPRESSIONS or place == "decoder"):
                return f"{place} {part['type']!r} with the expression {expression!r}"
    processors = [part["type"] for part in parts_of(content.get("post_processor"))]
    if len(processors) > 1 and processors not in (["ByteLevel", "TemplateProcessing"], ["ByteLevel", "BertProcessing"]):
        return f"post_processors in the order {', '.join(processors)} (known: ByteLevel, TemplateProcessing)"
    if any(token["single_word"] for token in content["added_tokens"]):
        return "an added token that matches only whole words"
    return _unknown_setting(content)


def _unknown_setting(content: dict[str, Any]) -> str | None:
    model = content["model"]
    if model["type"] not in _MODELS:
        return f"model {model['type']!r} (known: {', '.join(_MODELS)})"
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model["type"] == "BPE" and model.get(name):
            return f"model 'BPE' with {name} {model[name]!r}"
    if model["type"] == "Unigram" and model.get("unk_id") is None:
        return "model 'Unigram' without an unknown token"
    return "padding: a pack's tokenizer pads nothing" if content.get("padding") else None
