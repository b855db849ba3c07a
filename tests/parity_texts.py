"""Texts that part good tokenizers from nearly good ones, with the ids and offsets that Hugging Face's own library gives.

For every platform's tokenizer tests: `python tests/parity_texts.py TOKENIZER_JSON OUT_JSONL [SHARED_DATA]` writes a JSON object a line:
{"text", "ids", "offsets"}, offsets as [start, end] in characters (code points), for single texts with their special tokens, not cut.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

NASTY = [
    "", " ", "\n", "\t\r\n ", "\x00", "a\x00b", "\ufffd", "a\ufffdb", "\u200b", "a\u200bb", "\u200d", "a\u200db", "\ufeff", "\ufefftext", "\u00ad",
    "soft\u00adhyphen", "\u2028", "line\u2028line", "\u0085", "a\u00a0b", "\u3000", "\u2003wide\u2003", "\x7f", "\x1b[31mred", "\x0b\x0c", "\u202eright to left\u202c",
    "[MASK]", "a [MASK] b", "[mask]", "[CLS] [SEP]", "x[SEP]y", "[PAD][PAD]", "[UNK]", "<s>", "</s>", "a</s>b", "<mask>", " <mask> ", "<pad>", "<|endoftext|>",
    "[ MASK ]", "[MASK", "MASK]", "<s", "##ing", "## ing", "▁", "▁▁a", "a▁b", "Ġ", "Ġword", "é", "e\u0301", "E\u0301\u0301", "\u0301", "\u0301a", "ñ", "n\u0303", "Å", "A\u030a",
    "ç", "ş", "ṩ", "s\u0323\u0307", "ǆ", "ǅ", "İ", "ı", "İSTANBUL", "ß", "ẞ", "STRASSE", "Σ", "ς", "ΣΑΣ", "ﬁ", "ﬃ", "oﬃce", "Ⅳ", "①", "½", "㎏", "ª", "Ａ", "ｆｕｌｌ", "﷽", "ﷺ", "ㅎㅏㄴ",
    "한국어", "각", "\u1100\u1161\u11a8", "日本語", "カ\u3099", "ガ", "ｶﾞ", "漢字漢字", "𠮷", "𝔘𝔫𝔦", "𝟘𝟙", "中文English混合", "ไทยภาษา", "ภาษาไทยไม่มีช่องว่าง", "हिन्दी", "क्षत्रिय", "বাংলা", "தமிழ்", "עִבְרִית",
    "العربية", "اَلْعَرَبِيَّةُ", "لا", "ﻻ", "ქართული", "Հայերեն", "አማርኛ", "Èdè Yorùbá", "ọ̀rọ̀", "ẹ̀kọ́", "ƙasa ɓera ɗaya", "Tiếng Việt", "Ελληνικά", "русский ёлка Ё", "й", "и\u0306",
    "👍", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇰🇪", "🇰", "❤️", "❤", "☺︎", "1️⃣", "a👍b", "👍👍👍", "\U0001f9d1\u200d\U0001f4bb", "\U000e0067", "\uE000", "\U000f0000", "\U0010ffff", "\ud7ff", "\uffff",
    "don't", "can’t", "I'm we'll they've he'd it's", "U.S.A.", "e-mail", "a--b", "...", "…", "!!!???", "$5.00", "€5", "£", "`code`", "~^|", "x=y+z", "1+1=2", "3.14", "1,000,000", "1e-5", "0x1F",
    "http://a.b/c?d=e&f=g#h", "a@b.co", "#tag @user", "C:\\dir\\file", "a_b_c", "snake_case", "CamelCase", "ALLCAPS", "MiXeD", "  two  spaces  ", "trailing ", " leading", "a\tb", "a\r\nb", "tab\t\ttab",
    "\"quoted\"", "“quoted”", "«guillemets»", "‹›", "„low“", "—", "–", "a—b", "•", "°C", "µ", "μ", "Ω", "Ω", "K", "Å", "™", "©", "x²", "H₂O", "☃", "♥", "→", "∀x∈ℝ", "∑", "✓", "█", "ﾊﾝｶｸ", "〇", "々", "「」", "。", "、", "·", "؟", "،", "।",
    "x" * 99, "x" * 100, "x" * 101, "x" * 5000, "é" * 101, "日" * 300, "👍" * 120, "\u0301" * 101, "a\u0301" * 101, "ab " * 400, "'" * 200, "\u200b" * 50, "\x00" * 20, "supercalifragilisticexpialidocious" * 4,
]  # fmt: skip
_PARTS = [
    "the", "light", "Nairobi", "naïve", "Zürich", "façade", "ọjọ́", "ɗan", "kitchen", "İzmir", "straße", "日本", "한국", "привет", "мир", "مرحبا", "עולם", "नमस्ते", "ไทย", "ﬁne", "Ⅻ", "½", "👍🏽", "👩‍🚀", "🇳🇬",
    "[MASK]", "[SEP]", "<mask>", "</s>", "##s", "▁", "Ġ", "don't", "it's", "1,000", "3.14", "$9", "…", "—", "“", "”", "e\u0301", "o\u0323\u0300", "\u200b", "\u200d", "\ufeff", "\u00ad", "\x00", "\u0085", "\u3000", "K", "Å", "ﾊﾝ", "𝔘", "𠮷",
]  # fmt: skip
_JOINS = [" ", " ", " ", " ", "", "", "  ", "\n", "\t", "-", ",", ". ", "\u00a0", "\u200b", "/"]
_RANGES = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x370), (0x370, 0x590), (0x590, 0x780), (0x900, 0xE80), (0x1E00, 0x2190), (0x2190, 0x2C00), (0x3000, 0x3200), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xF900, 0xFB50), (0xFB50, 0xFFFE), (0x10000, 0x11000), (0x1D400, 0x1D800), (0x1F000, 0x1FAFF), (0x0, 0xD800), (0xE000, 0x10FFFF)]  # fmt: skip


def nasty_texts(count: int = 6000, seed: int = 0) -> list[str]:
    """The list above, then mixtures of its kind and runs of characters from every corner of Unicode; the same at every call."""
    draw = random.Random(seed)
    result = list(NASTY)
    while len(result) < count:
        if draw.random() < 0.5:
            result.append("".join(draw.choice(_PARTS) + draw.choice(_JOINS) for _ in range(draw.randint(1, 12))))
        else:
            low, high = draw.choice(_RANGES)
            characters = (chr(draw.randrange(low, high)) for _ in range(draw.randint(1, 30)))
            result.append("".join(each for each in characters if not "\ud800" <= each <= "\udfff"))
    return result


def real_texts(data: Path, most_each: int = 2500) -> Iterator[str]:
    """Sentences of many languages from the projects' shared data, at most so many of each file."""
    for file in sorted(data.rglob("*")):
        if file.suffix not in (".csv", ".tsv", ".conll", ".txt", ".annotated"):
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        if file.suffix in (".conll", ".annotated") or file.parent.parent.name == "masakhaner2":
            blocks = "\n".join(lines).split("\n\n")
            lines = [" ".join(line.split()[0] for line in block.splitlines() if line.split()) for block in blocks]
        yield from [line for line in lines if line.strip()][:most_each]


def parity_texts(data: Path | None, most_each: int = 2500) -> list[str]:
    """Over 10,000 texts: nasty ones, and real ones where there are any."""
    real = list(real_texts(data, most_each)) if data else []
    return nasty_texts(6000 if real else 10_500) + real


def write(tokenizer_json: Path, out: Path, data: Path | None, most_each: int = 2500) -> int:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = parity_texts(data, most_each)
    with out.open("w", encoding="utf-8") as file:
        for text, result in zip(texts, tokenizer.encode_batch(texts), strict=True):
            file.write(json.dumps({"text": text, "ids": result.ids, "offsets": result.offsets}) + "\n")
    return len(texts)


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None), "texts")
