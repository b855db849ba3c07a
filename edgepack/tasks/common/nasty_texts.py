"""Texts that break tokenizers: nothing, accents, ligatures, emoji, zero-width characters, a literal mask, a very long word.

Every build tries them all, and they stand among the golden texts of its pack.
"""

NASTY = (
    "", "naïve café — ﬁnal ‘quote’", "👩‍💻🔥 zero\u200bwidth", "literal [MASK] and [SEP]", "a" * 300,
    "Ünïcödé Straße ǅ 北京 서울 עברית", "tabs\tand\nlines", "!!! ??? ... --- ###",
)  # fmt: skip
