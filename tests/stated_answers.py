"""Records of how answers are formed, as packs state them: what every platform must read alike."""

from tokenizer_kinds import KINDS

BIOES = {str(index): name for index, name in enumerate(("O", "B-PER", "I-PER", "E-PER", "S-LOC"))}
LABEL_ANSWERS = (
    {"function": "sigmoid", "multi_label": True, "thresholds": [0.9, 0.5, 0.99]},
    {"function": "none", "multi_label": False, "thresholds": None},
)
TAG_ANSWERS = (  # strategy, scheme, who finds words, kind of tokenizer, labels that are no entities
    ("none", "iob2", "tokenizer", "bert", ["O"]), ("simple", "bioes", "tokenizer", "roberta", ["O"]),
    ("first", "iob1", "tokenizer", "sentence-piece", []), ("average", "iob2", "tokenizer", "albert", ["O"]),
    ("max", "bioes", "tokenizer", "llama3", ["O"]), ("average", "bioes", "white-space", "bert", ["O"]),
    ("simple", "iob2", "white-space", "roberta", ["O"]), ("max", "iob2", "characters", "bert-cased", ["O"]),
)  # fmt: skip


def tag_answers(strategy: str, scheme: str, words: str, kind: str, ignored: list[str]) -> dict[str, object]:
    tokenizer = KINDS[kind]()
    prefix = bool(getattr(tokenizer.model, "continuing_subword_prefix", None))
    stated = {"strategy": strategy, "scheme": scheme, "words": words, "ignore": ignored}
    return stated | {"subword_prefix": prefix, "unk_id": tokenizer.token_to_id("<unk>")}
