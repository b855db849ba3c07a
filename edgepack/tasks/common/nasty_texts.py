"""Texts that data of one language and one subject does not hold, and that users write all the same.

NASTY break tokenizers: nothing, accents, ligatures, emoji, zero-width characters, a literal mask, a very long word. Every build tries them
all, and they stand among the golden texts of its pack. UNFAMILIAR are of other scripts, and int8 is calibrated on them too: an unknown
piece moves other channels than the words of the train split do.
"""

NASTY = (
    "", "naïve café — ﬁnal ‘quote’", "👩‍💻🔥 zero\u200bwidth", "literal [MASK] and [SEP]", "a" * 300,
    "Ünïcödé Straße ǅ 北京 서울 עברית", "tabs\tand\nlines", "!!! ??? ... --- ###",
)  # fmt: skip
UNFAMILIAR = (
    "smile 😊🎉 now", "مساء الخير يا صديقي", "今日は天気がいい", "Привет, как дела?", "ﬂoor ﬃx", "Καλημέρα κόσμε",
)  # fmt: skip
