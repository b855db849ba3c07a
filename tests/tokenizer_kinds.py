"""A small tokenizer of every kind that the Java code makes again, trained in a second."""

from parity_texts import nasty_texts
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from edgepack.pipeline.demo.commands import commands
from edgepack.ship.jvm.supported import EXPRESSIONS

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
LLAMA3 = next(each for each in EXPRESSIONS if each.startswith("(?i:") and "{1,3}" in each)
GPT4O = next(each for each in EXPRESSIONS if "Lu" in each)
ENDS = (("</s>", 2), ("<s>", 1))
AROUND = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B:1 </s>:1", [("<s>", 1), ("</s>", 2)])
BEFORE = processors.TemplateProcessing("<s> $A", "<s> $A $B:1", [("<s>", 1)])


def trained(kind: str, split: object, normalizer: object = None, processor: object = AROUND, **settings: object) -> Tokenizer:
    """A small tokenizer that has learned the demo's commands, and but for Unigram some nasty texts."""
    special = ["<unk>", "<s>", "</s>", "<mask>", "[MASK]"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    model, trainer = {
        "WordPiece": (models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(vocab_size=500, special_tokens=special)),
        "BPE": (models.BPE(**settings), trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)),
        "Unigram": (models.Unigram(), trainers.UnigramTrainer(vocab_size=500, special_tokens=special, unk_token="<unk>")),
    }[kind]
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.normalizer, tokenizer.post_processor = split, normalizer, processor
    tokenizer.train_from_iterator([text for text, _ in commands()["train"]] + nasty_texts(400, seed=9) * (kind != "Unigram"), trainer)
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, special=True), AddedToken("Light Bulb", normalized=True, rstrip=True)])
    return tokenizer


def bert(lowercase: bool, processor: object) -> Tokenizer:
    return trained("WordPiece", pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(lowercase=lowercase), processor)


def split_by(expression: str, normalizer: object, *processor: object, **settings: object) -> Tokenizer:
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), BYTES])
    return trained("BPE", split, normalizer, *processor, **settings)


def llama3() -> Tokenizer:
    trim = processors.ByteLevel(trim_offsets=True, add_prefix_space=False)
    return split_by(LLAMA3, None, processors.Sequence([trim, BEFORE]), ignore_merges=True)


def llama2() -> Tokenizer:
    blanks = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return trained("BPE", pre_tokenizers.Split("no such text", "removed"), blanks, BEFORE, unk_token="<unk>", fuse_unk=True)


def roberta() -> Tokenizer:
    return trained("BPE", pre_tokenizers.ByteLevel(add_prefix_space=True), None, processors.RobertaProcessing(*ENDS, trim_offsets=True))


def smollm() -> Tokenizer:
    return trained("BPE", pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]))


def sentence_piece() -> Tokenizer:
    blanks = normalizers.Replace(Regex(r"\s+"), " ")
    return trained("Unigram", pre_tokenizers.Metaspace(), normalizers.Sequence([normalizers.NFKC(), blanks]))


def albert() -> Tokenizer:
    steps = [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
    marked = pre_tokenizers.Metaspace(prepend_scheme="first")
    splits = [pre_tokenizers.WhitespaceSplit(), marked, pre_tokenizers.Punctuation("contiguous")]
    return trained("Unigram", pre_tokenizers.Sequence(splits), normalizers.Sequence(steps))


KINDS = {
    "bert": lambda: bert(True, AROUND),
    "bert-cased": lambda: bert(False, processors.BertProcessing(*ENDS)),
    "roberta": roberta,
    "smollm": smollm,
    "llama2": llama2,
    "llama3": llama3,
    "qwen": lambda: split_by(LLAMA3.replace("{1,3}", ""), normalizers.NFC()),
    "gpt4o": lambda: split_by(GPT4O, normalizers.NFD()),
    "sentence-piece": sentence_piece,
    "albert": albert,
}
