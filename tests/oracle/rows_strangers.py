"""Models as strangers bring them: spellings of tags, heads on decoders, older folders, templates of today's chat models."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import libraries
import torch
from rows_basic import PROMPTS, TEXTS, make
from rows_generation import CHATML, CHATS, USER, chatting
from rows_labels import stated
from rows_rerankers import IDENTITY, QUERIES, reranker
from rows_rerankers import stated as function
from rows_tags import OTHER_SCRIPTS, with_ends
from situation import Situation

CLASSES, TAGS, WRITING = "text-classification", "token-classification", "text-generation"
BMES = ("O", "B-NAME", "M-NAME", "E-NAME", "S-NAME", "B-ORG", "M-ORG", "E-ORG")
SPELLINGS = {
    "the mark behind the name": ("O", "PER-B", "PER-I", "LOC-B", "LOC-I"),
    "small letters": ("o", "b-per", "i-per", "b-loc", "i-loc"),
    "underscores": ("O", "B_PER", "I_PER", "B_LOC", "I_LOC"),
    "names of two parts": ("O", "B-PER-first", "I-PER-first", "B-PER-last"),
}
QWEN3 = (
    "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}"
    "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages[::-1] %}"
    "{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == 'user' and message.content is "
    "string and not(message.content.startswith('<tool_response>')) %}{%- set ns.multi_step_tool = false %}"
    "{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}{%- for message in messages %}"
    "{%- if (message.role == 'user') or (message.role == 'system' and not loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- elif message.role == 'assistant' %}"
    "{%- set content = message.content %}{%- set reasoning_content = '' %}{%- if '</think>' in message.content %}"
    "{%- set content = message.content.split('</think>')[-1].lstrip('\n') %}"
    "{%- set reasoning_content = message.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}"
    "{{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + content }}{%- endif %}{{- '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"
)
THOUGHTS = (
    ([USER, {"role": "assistant", "content": "<think>\nthe lamp\n</think>\n\nit is on"}, {"role": "user", "content": "thank you"}],),
)
DATED = "{{- 'Today is ' + strftime_now('%d %b %Y') + '\n' }}" + CHATML


def decoder_with_classes(folder: Path, family: str, pad_id: int | None = 0) -> None:
    """Its last token that is no padding decides, as transformers' ForSequenceClassification has it."""
    from small import CONFIGS
    from transformers import AutoModelForSequenceClassification

    from edgepack.model.tiny_model import enlarged

    make(folder, family, task=WRITING)  # for its tokenizer
    config = CONFIGS[family](vocab_size=400, id2label={0: "a", 1: "b", 2: "c"}, label2id={"a": 0, "b": 1, "c": 2}, pad_token_id=pad_id)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    enlarged(model)
    model.save_pretrained(folder)


def of_vocab_txt(folder: Path) -> None:
    """As before there was a tokenizer.json."""
    make(folder, "bert")
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = sorted(whole["model"]["vocab"], key=whole["model"]["vocab"].get)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    settings = {"do_lower_case": True, "model_max_length": 96, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def row(name: str, task: str, make_it: Callable, calls: Sequence, oracle: Callable, **more: object) -> Situation:
    return Situation(f"strangers: {name}", task, make_it, calls, oracle, **({"formats": ("onnx",)} | more))


def tags(name: str, labels: Sequence[str], calls: Sequence = TEXTS, oracle: Callable | None = None) -> Situation:
    simple = oracle or partial(libraries.entities, strategy="simple")
    return row(name, TAGS, partial(make, family="bert", task=TAGS, labels=labels), calls, simple, recipe={"aggregation": "simple"})


def chat(name: str, template: str, family: str = "llama", calls: Sequence = CHATS, without_jinja: str | None = None) -> Situation:
    """without_jinja: what the platforms say that join a conversation from data."""
    no = {"android, tflite": "writes no text from a TFLite file"}
    no |= dict.fromkeys(("android, onnx", "web, onnx"), without_jinja) if without_jinja else {}
    made = partial(chatting, template=template, family=family)
    return row(name, WRITING, made, calls, libraries.generate, refused_by=no, formats=("onnx", "tflite"))


def turned(folder: Path, family: str, tiny: Mapping[str, object] | None = None, **rotation: object) -> None:
    """A decoder whose positions are turned otherwise, in the key of before transformers 5."""
    make(folder, family, task=WRITING)
    path = folder / "config.json"
    config = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key != "rope_parameters"}
    path.write_text(json.dumps(config | {"rope_theta": 500.0, "rope_scaling": rotation} | (tiny or {})), encoding="utf-8")


def rotation(
    name: str, family: str = "llama", refused: str | None = None, tiny: Mapping[str, object] | None = None, **stated: object
) -> Situation:
    made = partial(turned, family=family, tiny=tiny, **stated)
    return row(f"positions turned by {name}", WRITING, made, TURNED, libraries.generate, refused=refused)


ORIGINAL = {"original_max_position_embeddings": 24}
TURNED = (
    *PROMPTS,
    ("turn on the light and play some music and call mum and turn off the kitchen light now please and wake me up",),
)
PROBLEM = {CLASSES: {"problem_type": "multi_label_classification"}}

SITUATIONS = [
    tags("tags by BMES, Chinese", BMES, OTHER_SCRIPTS, with_ends),
    *(tags(f"tags with {name}", labels) for name, labels in SPELLINGS.items()),
    row("a LLaMA with classes", CLASSES, partial(decoder_with_classes, family="llama"), TEXTS, libraries.classify),
    row("a GPT-2 with classes", CLASSES, partial(decoder_with_classes, family="gpt2"), TEXTS, libraries.classify),
    row(
        "a GPT-2 with classes and no padding", CLASSES, partial(decoder_with_classes, family="gpt2", pad_id=None), TEXTS,
        libraries.classify, refused="pad_token_id = None",
    ),
    row("vocab.txt alone", CLASSES, of_vocab_txt, TEXTS, libraries.classify),
    row("a problem in task_specific_params", CLASSES, partial(stated, task_specific_params=PROBLEM), TEXTS, libraries.classify),
    row(
        "a ModernBERT that ranks by the mean of its tokens", CLASSES,
        partial(reranker, labels=1, family="modernbert", classifier_pooling="mean", **function(IDENTITY)), QUERIES, libraries.rerank,
    ),
    rotation("linear", rope_type="linear", factor=4.0),
    rotation("yarn", type="yarn", factor=4.0, **ORIGINAL),
    rotation("llama3", rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, **ORIGINAL),
    rotation("half a head", "phi3", rope_type="default", partial_rotary_factor=0.5, tiny={"partial_rotary_factor": 0.5}),
    rotation("the length", rope_type="dynamic", factor=2.0, refused="rope_scaling.rope_type = 'dynamic'"),
    rotation("longrope", "phi3", "rope_scaling.rope_type = 'longrope'", rope_type="longrope", short_factor=[1.0], long_factor=[2.0]),
    chat("a chat that tells the date", DATED, without_jinja="depends on more than the roles"),
    chat("a chat as Qwen 3's", QWEN3, "qwen3"),
    chat("a chat as Qwen 3's, with thoughts", QWEN3, "qwen3", THOUGHTS, without_jinja="something else of a message with </think>"),
]  # fmt: skip
