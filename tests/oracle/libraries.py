"""What the outside libraries answer: transformers' pipelines, its generate, and sentence-transformers. Nothing of edgepack is in here."""

from pathlib import Path

import numpy as np
import torch
from situation import Answer, Calls


def classify(folder: Path, calls: Calls) -> list[Answer]:
    """transformers' text-classification pipeline, all labels."""
    from transformers import pipeline

    ask = pipeline("text-classification", model=str(folder), device="cpu", top_k=None, truncation=True)
    answers = []
    for call in calls:
        scores = ask({"text": call[0], "text_pair": call[1]} if len(call) > 1 else call[0])
        scores = scores[0] if isinstance(scores[0], list) else scores
        ranked = [{"name": each["label"], "score": float(each["score"])} for each in scores]
        answers.append({"label": ranked[0]["name"], "score": ranked[0]["score"], "scores": ranked})
    return answers


def entities(folder: Path, calls: Calls, strategy: str = "first") -> list[Answer]:
    """transformers' token-classification pipeline on raw text."""
    from transformers import pipeline

    ask = pipeline("token-classification", model=str(folder), device="cpu", aggregation_strategy=strategy)
    return [
        {
            "entities": [
                {
                    "kind": each["entity_group"] if "entity_group" in each else each["entity"],
                    "text": text[each["start"] : each["end"]],
                    "start": each["start"],
                    "end": each["end"],
                    "score": float(each["score"]),
                }
                for each in ask(text)
            ]
        }
        for (text,) in calls
    ]


def embed(folder: Path, calls: Calls, compares: bool = False, **settings: object) -> list[Answer]:
    """sentence-transformers on the folder as it is; a folder without modules.json is pooled by the mean there. The second of a call
    is the name of a prompt; settings are those of SentenceTransformer.encode. compares: also how alike each vector is to the first."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    prompts = [({"prompt_name": call[1]} if call[1] else {"prompt": ""}) if len(call) > 1 else {} for call in calls]
    vectors = [model.encode([call[0]], **prompt, **settings)[0] for call, prompt in zip(calls, prompts, strict=True)]
    alike = [{"similarity": float(model.similarity(vectors[0], vector))} if compares else {} for vector in vectors]
    return [{"values": [float(value) for value in vector]} | more for vector, more in zip(vectors, alike, strict=True)]


def embed_sparse(folder: Path, calls: Calls) -> list[Answer]:
    """sentence-transformers' SparseEncoder: the vector with its zeros, and what decode says of it."""
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(folder), device="cpu", local_files_only=True)
    prompts = [({"prompt_name": call[1]} if call[1] else {"prompt": ""}) if len(call) > 1 else {} for call in calls]
    vectors = [model.encode([call[0]], **prompt)[0] for call, prompt in zip(calls, prompts, strict=True)]
    return [{"values": vector.to_dense().tolist(), "weights": dict(model.decode(vector))} for vector in vectors]


def rerank(folder: Path, calls: Calls) -> list[Answer]:
    """sentence-transformers' CrossEncoder: a score, or one for each label, ranked as a pack's answer is."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    names = model.config.id2label
    answers = []
    for call in calls:
        scores = np.atleast_1d(model.predict([call])[0])
        ranked = sorted(
            ({"name": names[index], "score": float(score)} for index, score in enumerate(scores)), key=lambda each: -each["score"]
        )
        answers.append({"label": ranked[0]["name"], "score": ranked[0]["score"], "scores": ranked})
    return answers


def generate(folder: Path, calls: Calls, max_tokens: int = 24) -> list[Answer]:
    """The tokens of the model class's own generate with what its generation_config says, and the text that the pipeline makes of them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    writer = pipeline("text-generation", model=model, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu")
    more = {"tokenizer": tokenizer} if model.generation_config.stop_strings else {}
    draws = bool(model.generation_config.do_sample)  # where nothing is said the pipeline draws, and the model's own generate does not
    answers = []
    for (prompt,) in calls:
        if isinstance(prompt, str):
            encoded = tokenizer(prompt, return_tensors="pt")
        else:
            goes_on = prompt[-1]["role"] == "assistant"  # as the pipeline does where nobody says otherwise
            how = {"add_generation_prompt": not goes_on, "continue_final_message": goes_on}
            encoded = tokenizer.apply_chat_template(prompt, return_tensors="pt", return_dict=True, **how)
        length = encoded["input_ids"].shape[1]
        asked = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]} if length else {}
        with torch.inference_mode():
            output = model.generate(**asked, max_new_tokens=max_tokens, tokenizer=tokenizer)
        tokens = output[0, max(1, length) :].tolist()
        stops = model.generation_config.eos_token_id
        stops = stops if isinstance(stops, list) else [stops]
        text = writer(prompt, return_full_text=False, max_new_tokens=max_tokens, do_sample=draws, **more)[0]["generated_text"]
        # the token that ends a text is none of its tokens
        answers.append({"tokens": tokens[:-1] if tokens and tokens[-1] in stops else tokens, "text": text})
    return answers


def answer(folder: Path, calls: Calls, longest: int = 30) -> list[Answer]:
    """The best span of a context that fits into one window, by the sum of its logits (Devlin 2019), as AutoModelForQuestionAnswering
    gives them. transformers 5 has no pipeline for it any more."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32).eval()
    answers = []
    for question, context in calls:
        encoded = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
        offsets, parts = encoded.pop("offset_mapping")[0].tolist(), encoded.sequence_ids(0)
        with torch.inference_mode():
            outputs = model(**encoded)
        inside = np.array([part == 1 for part in parts])
        start, end = (np.where(inside, logits[0].double().numpy(), -np.inf) for logits in (outputs.start_logits, outputs.end_logits))
        sums = np.full((len(inside), len(inside)), -np.inf)
        for first in np.flatnonzero(inside):
            last = slice(first, first + longest)
            sums[first, last] = start[first] + end[last]
        first, last = np.unravel_index(int(sums.argmax()), sums.shape)
        chance = np.exp(sums.max() - np.logaddexp.reduce(start[inside]) - np.logaddexp.reduce(end[inside]))
        place = (offsets[first][0], offsets[last][1])
        answers.append({"text": context[place[0] : place[1]], "start": place[0], "end": place[1], "score": float(chance)})
    return answers


def answer_in_windows(folder: Path, calls: Calls, stride: int = 64, longest: int = 30) -> list[Answer]:
    """As `answer`, over all windows of a context that is too long for one; they overlap as SQuAD's own scripts cut them."""
    return [result for result, _ in _spans(folder, calls, stride, longest)]


def answer_or_none(folder: Path, calls: Calls, dev: Calls, truths: list[list[str]]) -> list[Answer]:
    """With the threshold that is best on the dev split, as SQuAD 2's evaluation finds it: rows are answered up to a margin."""
    result = _spans(folder, dev)
    margins = [margin for _, margin in result]
    gains = [
        max((_f1(answer["text"], expected) for expected in true_texts), default=float(not answer["text"])) - float(not true_texts)
        for (answer, _), true_texts in zip(result, truths, strict=True)
    ]
    best, threshold, total = 0.0, -np.inf, 0.0
    for index in np.argsort(margins, kind="stable"):
        total += gains[index]
        if total > best + 1e-9:
            best, threshold = total, margins[index]
    asked = _spans(folder, calls)
    return [answer if margin <= threshold else {"text": "", "start": 0, "end": 0} for answer, margin in asked]


def _f1(answer: str, expected: str) -> float:
    """SQuAD's F1 over words, less case, punctuation and articles."""
    import collections
    import re
    import string

    ours, theirs = (
        re.sub(r"\b(a|an|the)\b", " ", "".join(each for each in text.lower() if each not in set(string.punctuation))).split()
        for text in (answer, expected)
    )
    if not ours or not theirs:
        return float(ours == theirs)
    same = sum((collections.Counter(ours) & collections.Counter(theirs)).values())
    return 2 * same / (len(ours) + len(theirs))


def _spans(folder: Path, calls: Calls, stride: int = 64, longest: int = 30) -> list[tuple[Answer, float]]:
    """The best span of each call, and how far the first token's logits, the least of all windows, are above its own."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32).eval()
    longest_text = min(tokenizer.model_max_length, 96)
    result = []
    for question, context in calls:
        windows = tokenizer(
            question, context, truncation="only_second", max_length=longest_text, stride=min(stride, longest_text // 4),
            return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        best, span, none, starts, ends = -np.inf, (0, 0), np.inf, [], []
        for index in range(len(windows["input_ids"])):
            keys = [key for key in ("input_ids", "attention_mask", "token_type_ids") if key in windows]
            with torch.inference_mode():
                outputs = model(**{key: torch.tensor([windows[key][index]]) for key in keys})
            start, end = (logits[0].double().numpy() for logits in (outputs.start_logits, outputs.end_logits))
            none = min(none, start[0] + end[0])
            inside = np.array([part == 1 for part in windows.sequence_ids(index)])
            starts, ends = [*starts, *start[inside]], [*ends, *end[inside]]
            places = np.flatnonzero(inside)
            for first in places:
                for last in places[(places >= first) & (places < first + longest)]:
                    if start[first] + end[last] > best:
                        offsets = windows["offset_mapping"][index]
                        best, span = start[first] + end[last], (offsets[first][0], offsets[last][1])
        score = float(np.exp(best - np.logaddexp.reduce(starts) - np.logaddexp.reduce(ends)))
        result.append(({"text": context[span[0] : span[1]], "start": span[0], "end": span[1], "score": score}, none - best))
    return result
