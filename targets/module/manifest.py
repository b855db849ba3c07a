"""What a manifest must state, looked at once, before anything of it is used: a field that is missing or wrong is named.

The lines of FIELDS and MODULE_FIELDS stand in Java and in JavaScript as well (ManifestTable.java, manifest.js). Each is a path, a kind,
and for some the field=value under which it holds. `*` is each part of a list, or each value of an object; a number is a place in a list.
A path with ? may be left out; a kind with ? may be null, and left out too. What stands below something that is left out is not asked for.
"""

from __future__ import annotations

import math
import re

from .errors import Changed

AGAIN = "install the module again"
FIELDS = """
task text
format onnx|tflite
model file
inputs list+
inputs.* input_ids|attention_mask|token_type_ids
outputs list+
outputs.* text
per_token yes
exact? yes
pad_id integer
vocab? whole
max_length whole
golden_tolerance number
labels object
labels.* text
files list
files.* object
files.*.name file
files.*.bytes size
files.*.sha256 hash
stop_ids? list
stop_ids.* integer
start_id whole?
empty_output list?
empty_output.* number
positions whole?
positions whole task=text-generation
buckets? list
buckets list+ format=tflite
buckets.* whole
session object?
session object format=onnx
session.graph_optimization_level disable_all|basic|extended|all
session.disabled_optimizers? list
session.disabled_optimizers.* text
session.config? object
session.config.* text
cache? list
cache list+ task=text-generation
cache.* object
cache.*.layer whole
cache.*.heads whole
cache.*.head_size whole
coded object?
coded.file file
coded.coded file
coded.bytes size
coded.sha256 hash
coded.start stream|expand
answers object?
answers.function softmax|sigmoid|none task=text-classification
answers.multi_label? yes
answers.reads_empty_pair? yes
answers.thresholds list?
answers.thresholds.* number
answers.strategy none|simple|first|average|max task=token-classification
answers.scheme iob1|iob2|bioes|bilou|bare task=token-classification
answers.words tokenizer|white-space|characters task=token-classification
answers.subword_prefix yes task=token-classification
answers.unk_id whole?
answers.ignore list task=token-classification
answers.ignore.* text
answers.stride? whole
answers.longest? whole
answers.no_answer? yes
answers.threshold number?
answers.similarity? cosine|dot|euclidean|manhattan
answers.prompts? object
answers.prompts.* text
answers.default_prompt text?
answers.prompt_tokens? object
answers.prompt_tokens.* object
answers.prompt_tokens.*.begin list+
answers.prompt_tokens.*.begin.* whole
answers.prompt_tokens.*.count whole
answers.sparse? yes
answers.codes object?
answers.codes.kind int8|binary
answers.codes.id text
answers.codes.low list+
answers.codes.low.* number
answers.codes.high list+
answers.codes.high.* number
answers.codes.thresholds list?
answers.codes.thresholds.* number
answers.do_sample? yes
answers.temperature? number
answers.top_k? whole
answers.top_p? number
answers.min_p number?
answers.typical_p? number
answers.epsilon_cutoff? number
answers.eta_cutoff? number
answers.repetition_penalty? number
answers.no_repeat_ngram_size? whole
answers.bad_words_ids list?
answers.bad_words_ids.* list+
answers.bad_words_ids.*.* whole
answers.sequence_bias list?
answers.sequence_bias.* pair
answers.sequence_bias.*.0 list+
answers.sequence_bias.*.0.* whole
answers.sequence_bias.*.1 number
answers.suppress_tokens list?
answers.suppress_tokens.* whole
answers.begin_suppress_tokens list?
answers.begin_suppress_tokens.* whole
answers.forced_bos_token_id whole?
answers.forced_eos_token_id list?
answers.forced_eos_token_id.* whole
answers.min_length? whole
answers.min_new_tokens whole?
answers.max_new_tokens whole?
answers.max_length whole?
answers.exponential_decay_length_penalty pair?
answers.exponential_decay_length_penalty.0 whole
answers.exponential_decay_length_penalty.1 number
answers.stop_strings list?
answers.stop_strings.* text
answers.chat_template text?
answers.chat_tokens? object
answers.chat_form object?
answers.chat_form.first object
answers.chat_form.first.* text
answers.chat_form.between object
answers.chat_form.between.* text
answers.chat_form.last object
answers.chat_form.last.* text
answers.chat_form.trimmed list
answers.chat_form.trimmed.* text
answers.chat_form.looked_for? list
answers.chat_form.looked_for.* text
answers.window? refuse|slide
"""
MODULE_FIELDS = """
schema 1
name text
version text
pack_id text
expires text?
stop_ids list
buckets list
"""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")  # as of a pack's files: also no drive or stream of Windows
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_LARGEST, _LARGEST_SIZE = 2**31 - 1, 2**53 - 1
_MISSING = object()


def check_manifest(manifest, name: str) -> None:
    """Changed where a field is missing or wrong, or where a file would be opened that is not listed. name: the manifest's file, to tell."""
    if not isinstance(manifest, dict):
        raise Changed("{} holds no object".format(name), AGAIN)
    for line in (FIELDS + (MODULE_FIELDS if name == "module.json" else "")).split("\n"):
        if line:
            _check_line(manifest, name, *line.split(" "))
    _check_numbering(manifest, name)
    _check_codes(manifest.get("answers") or {}, name)
    _check_opened(manifest, name)


def check_listed(manifest, name: str, needed: str) -> None:
    """Changed where a file that will be opened is not among the listed ones, so that no hash would be compared."""
    if not any(entry["name"] == needed for entry in manifest["files"]):
        raise Changed("{} lists no {}".format(name, needed), AGAIN)


def check_model(manifest, inputs, outputs) -> None:
    """Changed where the opened model has other inputs than the manifest states, or lacks an output. inputs, outputs: their names."""
    if set(inputs) != set(manifest["inputs"]):
        stated = ", ".join(manifest["inputs"])
        raise Changed("the manifest states the inputs {}, and the model reads {}".format(stated, ", ".join(inputs)), AGAIN)
    missing = [output for output in manifest["outputs"] if output not in outputs]
    if missing:
        raise Changed("the manifest states the output {}, and the model gives {}".format(missing[0], ", ".join(outputs)), AGAIN)


def check_labels(labels, count) -> None:
    """Changed where the model gives a score for more or fewer labels than the manifest names."""
    if len(labels) != count:
        raise Changed("the manifest names {} labels, and the model gives {} scores".format(len(labels), count), AGAIN)


def _check_opened(manifest, name) -> None:
    coded = manifest.get("coded")
    for needed in ("tokenizer.json", *([coded["coded"]] if coded else [])):
        check_listed(manifest, name, needed)
    if not (coded and coded["file"] == manifest["model"]):  # the hash of decoded weights is compared too
        check_listed(manifest, name, manifest["model"])


def _check_line(manifest, name, path, kind, condition="") -> None:
    field, _, wanted = condition.partition("=")
    if condition and manifest[field] != wanted:
        return
    may_be_missing, may_be_null = path[-1] == "?", kind[-1] == "?"
    kind = kind.rstrip("?")
    for place, value in _values(manifest, name, path.rstrip("?").split(".")):
        if value is _MISSING and not (may_be_missing or may_be_null):
            raise Changed("{} is missing".format(place), AGAIN)
        if value is not _MISSING and not (value is None and may_be_null) and not _is(value, kind):
            raise Changed("{} is not {}".format(place, SHOWN.get(kind) or "one of these: " + kind.replace("|", ", ")), AGAIN)


def _values(value, place, parts):
    """Places and values that the path leads to; _MISSING where the last part of the path leads to nothing."""
    if not parts:
        yield place, value
    elif value is not None and value is not _MISSING:
        part, rest = parts[0], parts[1:]
        if part == "*":
            for key, each in enumerate(value) if isinstance(value, list) else value.items():
                yield from _values(each, "{}[{}]".format(place, repr(key)[:60]), rest)
        elif isinstance(value, list):
            index = int(part)
            yield from _values(value[index] if index < len(value) else _MISSING, "{}[{}]".format(place, index), rest)
        else:
            yield from _values(value.get(part, _MISSING), "{}.{}".format(place, part), rest)


def _is(value, kind) -> bool:
    check = _KINDS.get(kind)
    return check(value) if check else isinstance(value, str) and value in kind.split("|")


def _is_number(value) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)


def _is_text(value) -> bool:
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


SHOWN = {
    "1": "1, which is all that this code reads",
    "text": "a text",
    "file": "a plain file name",
    "hash": "a sha256",
    "yes": "true or false",
    "integer": "a whole number",
    "whole": "a whole number from 0 to {}".format(_LARGEST),
    "size": "a number of bytes",
    "number": "a number",
    "list": "a list",
    "list+": "a list with something in it",
    "pair": "a list of two",
    "object": "an object",
}
_KINDS = {
    "1": lambda value: type(value) is int and value == 1,
    "text": _is_text,
    "file": lambda value: isinstance(value, str) and bool(_PLAIN.match(value)),
    "hash": lambda value: isinstance(value, str) and bool(_HASH.match(value)),
    "yes": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int and abs(value) <= _LARGEST,
    "whole": lambda value: type(value) is int and 0 <= value <= _LARGEST,
    "size": lambda value: type(value) is int and 0 <= value <= _LARGEST_SIZE,
    "number": _is_number,
    "list": lambda value: isinstance(value, list),
    "list+": lambda value: isinstance(value, list) and len(value) > 0,
    "pair": lambda value: isinstance(value, list) and len(value) == 2,
    "object": lambda value: isinstance(value, dict),
}


def _check_numbering(manifest, name) -> None:
    labels, answers = manifest["labels"], manifest.get("answers") or {}
    for index in range(len(labels)):
        if str(index) not in labels:
            raise Changed("{}.labels has {} labels, and none with the number {}".format(name, len(labels), index), AGAIN)
    if answers.get("multi_label") and len(answers.get("thresholds") or ()) != len(labels):
        raise Changed("{}.answers.thresholds is not one number for each label".format(name), AGAIN)


def _check_codes(answers, name) -> None:
    codes = answers.get("codes")
    if codes is None:
        return
    rows = [codes["low"], codes["high"], *([codes["thresholds"]] if codes.get("thresholds") is not None else [])]
    if len({len(row) for row in rows}) > 1 or (codes["kind"] == "binary" and len(rows) < 3) or "similarity" not in answers:
        raise Changed("{}.answers.codes does not state each dimension, or no similarity stands beside it".format(name), AGAIN)
