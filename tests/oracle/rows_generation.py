"""How a folder says that a text is continued: generation_config.json key by key, and chat templates of several styles."""

import json
from functools import partial
from pathlib import Path

import libraries
import tokenizer_kinds
from rows_basic import PROMPTS, make
from situation import Calls, Situation
from small import LAYERS
from tokenizers import decoders

STARTS = (("turn on the",), ("play some music and play some music and",), ("call",))
SYSTEM = {"role": "system", "content": "You are kind. "}
USER = {"role": "user", "content": "  turn on the light, please\n"}
REPLY = {"role": "assistant", "content": " it is on "}
CHATS = (([USER],), ([SYSTEM, USER],), ([USER, REPLY, {"role": "user", "content": "naïve café?"}],))
BEGUN = (
    ([USER, REPLY],),
    ([SYSTEM, USER, {"role": "assistant", "content": "the light "}],),
    ([USER, {"role": "assistant", "content": ""}],),
)
NO_BEGUN = "ends with the model's words"
NO_SYSTEM = tuple(call for call in CHATS if call[0][0] is not SYSTEM)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATML_WITH_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}" + CHATML
)
LLAMA = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim }}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
SYSTEM_IN_USER = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}{% for message in loop_messages %}"
    "{% if loop.index0 == 0 and system %}{% set content = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
NUMBERED = "{% for message in messages %}{{ loop.index ~ '. ' ~ message['content'] ~ '\n' }}{% endfor %}"
TOOLS = (
    "{%- if tools is defined and tools %}{{- tools | tojson }}{%- endif %}{%- set ns = namespace(last=messages|length - 1) %}"
    "{%- for message in messages %}{%- generation %}"
    "{{- '<|' + message.role + '|>' + message['content'].split('</think>')[-1].lstrip('\n') }}"
    "{%- endgeneration %}{%- if loop.index0 == ns.last %}{{- '<|end|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)
SPECIAL = (
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|user|>", "<|assistant|>", "[INST]", "[/INST]",
    "<|start_header_id|>", "<|end_header_id|>",
)  # fmt: skip


def stated(folder: Path, family: str = "llama", config: dict | None = None, **generation: object) -> None:
    """A model whose generation_config.json says so; `config` goes into config.json, with no generation_config.json beside it.

    The rows' tokens are those that a model of these layers writes.
    """
    make(folder, family, LAYERS, task="text-generation")
    path = folder / "generation_config.json"
    if config is not None:
        path.unlink(missing_ok=True)
        path, generation = folder / "config.json", config
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(content | generation), encoding="utf-8")


def ending(folder: Path, **generation: object) -> None:
    """generation_config.json states these keys alone; config.json states ends of texts, which count where there is no such file."""
    stated(folder, config={"eos_token_id": [356, 44, 383, 146, 320]})
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")


def stopping(folder: Path, **generation: object) -> None:
    """With a decoder in the tokenizer, without which transformers matches no stop strings."""
    stated(folder, **generation)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}}), encoding="utf-8")


def chatting(
    folder: Path, template: str | list, family: str = "llama", as_file: bool = False, several: bool = False, **generation: object,
) -> None:  # fmt: skip
    """A model with a chat template, whose control tokens are tokens of their own. several: it lies among others in a folder of them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stated(folder, family, **generation)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"bos_token": "[CLS]", "eos_token": "[SEP]", "additional_special_tokens": list(SPECIAL)})
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(1)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if several:
        place = folder / "additional_chat_templates"
        place.mkdir()
        (place / "default.jinja").write_text(template, encoding="utf-8")
        (place / "tool_use.jinja").write_text(NUMBERED, encoding="utf-8")
    elif as_file:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    else:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"chat_template": template}), encoding="utf-8")


LLAMA2 = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
OPENINGS = (*STARTS, ("set the heating to",), ("naïve café",), ("please",))
NOTHING = (("",), (" ",), ("\n\t ",), ("call",))


def spelled(folder: Path, kind: str, decoder: object) -> None:
    """A model with a tokenizer of another kind, whose decoder drops the blank before the first word of a text."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    stated(folder)
    tokenizer = getattr(tokenizer_kinds, kind)()
    tokenizer.decoder = decoder
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>", model_max_length=96
    )
    fast.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(1)
    model.resize_token_embeddings(len(fast), mean_resizing=False)
    model.save_pretrained(folder)


def not_opened(folder: Path, **generation: object) -> None:
    """With a tokenizer that puts no special token around a text."""
    stated(folder, **generation)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"post_processor": None}), encoding="utf-8")


def written(name: str, make_it: partial, calls: Calls) -> Situation:
    return Situation(f"generation: {name}", "text-generation", make_it, calls, libraries.generate, formats=("onnx",))


def row(name: str, family: str = "llama", calls: Calls = STARTS, refused: str | None = None, config=None, **generation) -> Situation:
    make_it = partial(stopping if "stop_strings" in generation else stated, family=family, config=config, **generation)
    formats = ("onnx", "tflite") if family == "gpt2" and not refused else ("onnx",)
    no = {"android, tflite": "writes no text from a TFLite file"}
    return Situation(
        f"generation: {name}", "text-generation", make_it, calls, libraries.generate, refused=refused, refused_by=no, formats=formats
    )


def chat(name: str, template: str | list, calls: Calls = CHATS, android: str | None = None, **more: object) -> Situation:
    refused_by = {"android": android, "web": android} if android else {}
    make_it = partial(chatting, template=template, **more)
    return Situation(f"chat: {name}", "text-generation", make_it, calls, libraries.generate, refused_by=refused_by, formats=("onnx",))


def _no(key: str, value: object, way_out: str, **more: object) -> Situation:
    return row(f"{key} refused", refused=rf"(?s)model/generation_config.json states {key} = .*{way_out}", **{key: value}, **more)


SITUATIONS = [
    row("repetition penalty", repetition_penalty=1.3),
    row("repetition rewarded, gpt2", "gpt2", repetition_penalty=0.7),
    row("repetition penalty, qwen2", "qwen2", repetition_penalty=1.1),
    row("no pair of tokens twice", no_repeat_ngram_size=2),
    row("no token twice, gpt2", "gpt2", no_repeat_ngram_size=1),
    row("no three tokens twice, qwen3", "qwen3", no_repeat_ngram_size=3, repetition_penalty=1.05),
    row("bad words", bad_words_ids=[[356], [44], [44, 216], [382, 382]]),
    row("biased sequences, gpt2", "gpt2", sequence_bias=[[[50], 3.0], [[50, 60], 8.0], [[356], -5.0]]),
    row("suppressed tokens, mistral", "mistral", suppress_tokens=[356, 44, 216, 383]),
    row("suppressed at the beginning", begin_suppress_tokens=[356, 44, 382]),
    row("the last token forced", forced_eos_token_id=7),
    row("the last token forced, of several", forced_eos_token_id=[9, 7]),
    row("the first token forced has no effect behind a prompt", forced_bos_token_id=7),
    row("several stop ids, gpt2", "gpt2", eos_token_id=[356, 44, 383, 146, 320]),
    row("least new tokens", min_new_tokens=6, eos_token_id=[356, 44, 383, 146, 320]),
    row("least length, phi3", "phi3", min_length=12, eos_token_id=[356, 44, 383, 146, 320]),
    row("the end likelier with length", exponential_decay_length_penalty=[3, 1.6], eos_token_id=[3, 9]),
    row("stop strings", stop_strings=["kitchen", "light", "a"]),
    row("a stop string that is not a list, gpt2", "gpt2", stop_strings="o"),
    written("ends in config.json beside a file that states none", partial(ending, repetition_penalty=1.1), STARTS),
    written("other ends in config.json", partial(ending, eos_token_id=[9]), STARTS),
    _no("exponential_decay_length_penalty", [1, 1.9], "min_new_tokens", min_new_tokens=5),
    row("drawn from one token", do_sample=True, top_k=1, temperature=0.7),
    row("drawn from next to nothing", do_sample=True, top_p=1e-6, repetition_penalty=1.2),
    row("drawn by min-p of one", do_sample=True, min_p=1.0, temperature=1.5),
    row("sampling stated and not asked for", do_sample=False, temperature=0.3, top_k=5, top_p=0.5),
    row("smollm3 with all at once", "smollm3", repetition_penalty=1.2, no_repeat_ngram_size=3, suppress_tokens=[44], min_new_tokens=2),
    row("gemma 2 with a penalty", "gemma2", repetition_penalty=1.2),
    row("gemma 3 with a penalty", "gemma3_text", repetition_penalty=1.2, begin_suppress_tokens=[356]),
    row("keys in config.json", config={"repetition_penalty": 1.4, "no_repeat_ngram_size": 2}),
    row("keys without effect", length_penalty=2.0, early_stopping=True, use_cache=False, num_assistant_tokens=4, renormalize_logits=True),
    row("a prefix of the pipeline", config={"prefix": "once upon a time"}, refused="prefix = 'once upon a time'"),
    _no("num_beams", 4, "num_beams|greedily"),
    _no("penalty_alpha", 0.6, "greedily", top_k=4),
    _no("guidance_scale", 1.5, "remove the key"),
    _no("encoder_repetition_penalty", 1.2, "repetition_penalty"),
    _no("watermarking_config", {"bias": 2.5}, "remove the key"),
    _no("token_healing", True, "remove the key"),
    written("no blank before the first word, as LLaMA 2 spells", partial(spelled, kind="sentence_piece", decoder=LLAMA2), OPENINGS),
    written(
        "no blank before the first word, as SentencePiece spells",
        partial(spelled, kind="sentence_piece", decoder=decoders.Metaspace()),
        OPENINGS,
    ),
    row("an empty prompt, which the tokenizer opens", calls=NOTHING),
    row("an empty prompt, gpt2", "gpt2", calls=NOTHING),
    written("an empty prompt and a start token", partial(not_opened, bos_token_id=2), NOTHING),
    written("an empty prompt and a start token that is shown", partial(not_opened, bos_token_id=50), NOTHING),
    chat("ChatML", CHATML),
    chat("ChatML with a system message of its own, in a file", CHATML_WITH_DEFAULT, as_file=True),
    chat("ChatML by name", [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": NUMBERED}]),
    chat("ChatML in a folder of several", CHATML, several=True),
    chat("Llama 3", LLAMA, repetition_penalty=1.2),
    chat("ends with the model's words", CHATML, BEGUN, android=NO_BEGUN),
    chat("ends with the model's words, which the template trims", LLAMA, BEGUN, android=NO_BEGUN),
    chat("Zephyr", ZEPHYR, family="gpt2"),
    chat("Mistral", MISTRAL, NO_SYSTEM, family="mistral"),
    chat("Llama 2, the system's words within the user's", SYSTEM_IN_USER, android="depends on more than the roles"),
    chat("numbered", NUMBERED, android="depends on more than the roles"),
    chat("tools, namespaces and marks", TOOLS, family="qwen2", android="depends on more than the roles"),
]
assert PROMPTS
