"""token-classification on raw text: every strategy, kind of tokenizer, script and scheme of tags; and words as the user asks for them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import libraries
import numpy as np
import torch
from rows_basic import TAGS, TEXTS, make
from situation import Answer, Calls, Situation
from tokenizer_kinds import KINDS
from transformers import PreTrainedTokenizerFast

ONNX = ("onnx",)
BIOES = ("O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "E-LOC", "S-LOC")
BILOU = ("O", "B-PER", "I-PER", "L-PER", "U-PER", "U-LOC")
IOB1 = ("O", "I-PER", "B-PER", "I-LOC")
POS = ("NOUN", "VERB", "DET", "ADP", "O", "NOUN-SG")
OTHER_SCRIPTS = (("我住在北京市朝阳区。",), ("東京に住んでいます",), ("ฉันอยู่กรุงเทพ",), ("أعيش في باريس",), ("",), ("İstanbul ẞ ﬁne 👩‍💻 x",))
HARD = (
    ("turn  on\tthe\nlight",), (" play music ",), ("play [MASK] and [SEP] now",), ("don't call-mum, e.g. at 9:30!",),
    ("unknownword ☃☃ zzz",), ("set the heating " * 60,),
)  # fmt: skip
WORD_LISTS = ((["turn", "on", "Zoë's", "light", "now"],), (["call", "New York", "", "x"],))


def of_kind(folder: Path, kind: str) -> None:
    """A BERT with another tokenizer: with as many rows of embeddings as that has pieces."""
    from small import CONFIGS
    from transformers import BertForTokenClassification

    from edgepack.model.tiny_model import enlarged

    tokenizer = KINDS[kind]()
    unknown = "<unk>" if tokenizer.token_to_id("<unk>") is not None else None
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<s>", unk_token=unknown, model_max_length=96)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    names = dict(enumerate(TAGS))
    config = CONFIGS["bert"](
        num_hidden_layers=2, vocab_size=len(fast), id2label=names, label2id={name: index for index, name in names.items()}
    )
    model = BertForTokenClassification(config)
    enlarged(model)
    model.save_pretrained(folder)


def by_words(folder: Path, calls: Calls, split: str) -> list[Answer]:
    """The model itself on words: the tag of a word is that of its first token, as transformers' examples train and judge it."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForTokenClassification.from_pretrained(folder).eval()
    return [{"entities": _of_words(tokenizer, model, text, split)} for (text,) in calls]


def _of_words(tokenizer: object, model: torch.nn.Module, text: str, split: str) -> list[Answer]:
    places = [(at, at + 1) for at, each in enumerate(text) if not each.isspace()]
    if split == "white-space":  # these texts have no punctuation
        places = [(at, at + len(word)) for at, word in _runs(text)]
    if not places:
        return []
    words = [text[start:end] for start, end in places]
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt", truncation=True)
    with torch.inference_mode():
        chances = model(**encoded).logits[0].softmax(-1).numpy()
    first: dict[int, int] = {}
    for position, word in enumerate(encoded.word_ids(0)):
        if word is not None:
            first.setdefault(word, position)
    tags = [model.config.id2label[int(chances[first[word]].argmax())] if word in first else "O" for word in range(len(words))]
    scores = [float(chances[first[word]].max()) if word in first else 0.0 for word in range(len(words))]
    return [
        {"kind": kind, "text": text[places[a][0] : places[b - 1][1]], "start": places[a][0], "end": places[b - 1][1],
         "score": float(np.mean(scores[a:b]))}
        for a, b, kind in iob_spans(tags)
    ]  # fmt: skip


def _runs(text: str) -> list[tuple[int, str]]:
    result, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        result.append((at, word))
        at += len(word)
    return result


def iob_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Written apart from edgepack: by the words' own tags."""
    spans: list[list] = []
    for index, tag in enumerate(tags):
        if tag == "O":
            continue
        goes_on = spans and spans[-1][1] == index and tag[0] == "I" and spans[-1][2] == tag[2:]
        if goes_on:
            spans[-1][1] = index + 1
        else:
            spans.append([index, index + 1, tag[2:]])
    return [tuple(span) for span in spans]


def with_ends(folder: Path, calls: Calls) -> list[Answer]:
    """Entities of schemes with ends, by seqeval's rules (its start_of_chunk and end_of_chunk), over the pipeline's own tokens."""
    from transformers import pipeline

    ask = pipeline("token-classification", model=str(folder), device="cpu", aggregation_strategy="none", ignore_labels=[])
    answers = []
    for (text,) in calls:
        result: list[dict] = []
        last = None
        for token in ask(text):
            mark, _, kind = token["entity"].partition("-")
            mark = {"L": "E", "U": "S", "M": "I"}.get(mark, mark)
            goes_on = last and mark in ("I", "E") and last[0] in ("B", "I") and last[1] == kind
            if mark == "O":
                last = None
                continue
            if goes_on:
                result[-1]["end"] = token["end"]
                result[-1]["score"].append(float(token["score"]))
            else:
                result.append({"kind": kind, "start": token["start"], "end": token["end"], "score": [float(token["score"])]})
            last = (mark, kind)
        answers.append(
            {"entities": [each | {"text": text[each["start"] : each["end"]], "score": float(np.mean(each["score"]))} for each in result]}
        )
    return answers


def of_lists(folder: Path, calls: Calls) -> list[Answer]:
    """The pipeline with words that are words already."""
    from transformers import pipeline

    ask = pipeline("token-classification", model=str(folder), device="cpu", aggregation_strategy="first")
    answers = []
    for (words,) in calls:
        text = " ".join(words)
        result = ask(words, is_split_into_words=True)
        result = result[0] if result and isinstance(result[0], list) else result
        answers.append({"entities": [_entity(each, text) for each in result]})
    return answers


def _entity(each: dict, text: str) -> Answer:
    place = {"start": each["start"], "end": each["end"]}
    return {"kind": each["entity_group"], "text": text[place["start"] : place["end"]], **place, "score": float(each["score"])}


def row(
    name: str, calls: Calls = TEXTS, strategy: str = "first", family: str = "bert", labels: Sequence[str] = TAGS, **more: object
) -> Situation:
    more = {"formats": ONNX, "oracle": partial(libraries.entities, strategy=strategy)} | more
    recipe = {"aggregation": strategy} | more.pop("recipe", {})
    folder = partial(make, family=family, task="token-classification", labels=labels)
    return Situation(f"tags: {name}", "token-classification", more.pop("make", folder), calls, recipe=recipe, **more)


PLACED = ("bert", "bert-cased", "roberta", "smollm", "llama3")
NO_PLACES = {"web": "cannot find where a token is"}
WORDS_ALONE = (("turn on the light in Zoë Müller kitchen now",), ("call mum",), ("",), ("naïve café \U0001f525 x",))

SITUATIONS = [
    *(row(f"strategy {strategy}", (*TEXTS, *HARD), strategy) for strategy in ("none", "simple", "first", "average", "max")),
    *(row(f"strategy {strategy}, RoBERTa", HARD, strategy, "roberta") for strategy in ("simple", "average")),
    row("other scripts", OTHER_SCRIPTS),
    row("other scripts, simple", OTHER_SCRIPTS, "simple"),
    *(
        row(f"tokenizer {kind}", (*TEXTS, *HARD[:5]), make=partial(of_kind, kind=kind), refused_by={} if kind in PLACED else NO_PLACES)
        for kind in KINDS
    ),
    row("tokenizer roberta, none", HARD, "none", make=partial(of_kind, kind="roberta")),
    row(
        "tokenizer sentence-piece, other scripts",
        OTHER_SCRIPTS,
        "average",
        make=partial(of_kind, kind="sentence-piece"),
        refused_by=NO_PLACES,
    ),
    row("IOB1", labels=IOB1),
    row("bare tags", labels=POS),
    row("bare tags, simple", HARD, "simple", labels=POS),
    row("BIOES", strategy="simple", labels=BIOES, oracle=with_ends),
    row("BILOU", strategy="simple", labels=BILOU, oracle=with_ends),
    row("words by white space", WORDS_ALONE, recipe={"words": "white-space"}, oracle=partial(by_words, split="white-space")),
    row("words by character", OTHER_SCRIPTS, recipe={"words": "characters"}, oracle=partial(by_words, split="characters")),
    row("a list of words", WORD_LISTS, oracle=of_lists, formats=("onnx", "tflite")),
    row("a list of words, RoBERTa's tokens", WORD_LISTS, oracle=of_lists, make=partial(of_kind, kind="roberta")),
]
