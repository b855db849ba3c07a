"""Types of tokens: a tokenizer that does not give them to the model gives zeros in a pack too, by its tokenizer.json itself."""

from typing import Any


def without_types(spec: dict[str, Any]) -> dict[str, Any]:
    """tokenizer.json whose tokens are all of type 0, the second text's too; token ids stay what they are."""
    processor = spec.get("post_processor")
    if processor is None:
        return spec | {"post_processor": _template([], [])}
    return spec | {"post_processor": _untyped(processor, alone=True)}


def _untyped(processor: dict[str, Any], alone: bool) -> dict[str, Any]:
    match processor["type"]:
        case "Sequence":
            parts = [_untyped(part, alone=False) for part in processor["processors"]]
            if not any(part["type"] in ("TemplateProcessing", "RobertaProcessing") for part in parts):
                parts.append(_template([], []))
            return processor | {"processors": parts}
        case "TemplateProcessing":
            return processor | {name: [_zero(item) for item in processor[name]] for name in ("single", "pair")}
        case "BertProcessing":
            return _template(processor["cls"], processor["sep"])
        case "ByteLevel" if alone:
            return {"type": "Sequence", "processors": [processor, _template([], [])]}
    return processor


def _zero(item: dict[str, Any]) -> dict[str, Any]:
    return {kind: values | {"type_id": 0} for kind, values in item.items()}


def _template(opening: list[Any], closing: list[Any]) -> dict[str, Any]:
    """opening, closing: a special token as [text, id]; empty for none."""

    def special(token: list[Any]) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": token[0], "type_id": 0}}] if token else []

    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    single = [*special(opening), first, *special(closing)]
    known = {token[0]: {"id": token[0], "ids": [token[1]], "tokens": [token[0]]} for token in (opening, closing) if token}
    return {"type": "TemplateProcessing", "single": single, "pair": [*single, second, *special(closing)], "special_tokens": known}
