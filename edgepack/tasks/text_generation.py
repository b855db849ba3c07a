"""text-generation: running text is judged by the next token's likelihood, and new text is decoded token by token with a cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.tasks.common.calibration import known
from edgepack.tasks.common.columns import text_columns, text_row
from edgepack.tasks.common.library import Call, Figures, Library
from edgepack.tasks.common.losses import IGNORED, known_mean, logits_of, real_tokens, rows_mean
from edgepack.tasks.common.metrics import Answers, Metric, ratio
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import Calibration
from edgepack.tasks.common.task import Features, Outputs, Task

if TYPE_CHECKING:
    import torch

_BLOCK = 256  # tokens of running text that are scored at once
_SERVED_BLOCKS = 2  # a decoder reads them token by token, as it writes
_TOP_LOGITS = 32  # kept of a vocabulary's: the rest is one class of its own


class ChatForm(Frozen):
    """Texts before the first role of a conversation, between two roles ("user assistant") and behind the last role.

    looked_for: texts of which the template itself makes something else; a message that holds one has no such form.
    """

    first: dict[str, str]
    between: dict[str, str]
    last: dict[str, str]
    trimmed: tuple[str, ...]  # roles whose contents lose the blanks at their ends
    looked_for: tuple[str, ...] = ()


class WritingAnswers(Frozen):
    """How a text is continued where a call says nothing else: keys and meanings of transformers' GenerationConfig, and the chat template.

    A value that a folder does not set is one that changes nothing. chat_tokens: special tokens that the template names. chat_form: the
    template as plain data, for platforms without jinja2; None where it has none. window: what happens where no position is left.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float | None = None
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] | None = None
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] | None = None
    suppress_tokens: tuple[int, ...] | None = None
    begin_suppress_tokens: tuple[int, ...] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: tuple[int, ...] | None = None
    min_length: int = 0
    min_new_tokens: int | None = None
    max_new_tokens: int | None = None
    max_length: int | None = None
    exponential_decay_length_penalty: tuple[int, float] | None = None
    stop_strings: tuple[str, ...] | None = None
    chat_template: str | None = None
    chat_tokens: dict[str, str | list[str]] = Field(default_factory=dict)
    chat_form: ChatForm | None = None
    window: Literal["refuse", "slide"] = "refuse"


_TOKEN_IDS = ("bad_words_ids", "sequence_bias", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id")
_LIBRARY_TOP_K = 50  # of transformers where a text is drawn and nothing is stated


def _answers(source: Any, recipe: Any) -> WritingAnswers:
    """EdgepackError: the folder states what is not reproduced, or token ids that a smaller vocabulary would renumber."""
    stated = dict(source.writing)
    named = next((key for key in _TOKEN_IDS if key in stated), None)
    if named and recipe.cuts_vocabulary:
        raise EdgepackError(
            f"{source.name} names token ids in {named}, but --vocabulary renumbers the tokens", "leave --vocabulary out, or remove the key"
        )
    if stated.get("do_sample"):
        stated.setdefault("top_k", _LIBRARY_TOP_K)
    return WritingAnswers.read(stated, f"{source.name}: generation settings")


def _texts(rows: Sequence[Row]) -> list[str | tuple[str, ...]]:
    """Rows are joined, and a line break may be part of a piece."""
    joined = "\n".join(row.text for row in rows)
    return [joined] if joined.strip() else []


def _encode(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """Running text in blocks of equal length: rows are joined, because a line is no unit of meaning in prose."""
    if max_length < 2:
        raise EdgepackError(
            f"texts are cut to {max_length} token, and a next token is judged behind another one",
            "use --max-length 2 or more, or raise the model's own limit",
        )
    ids = tokenizer("\n".join(row.text for row in rows), add_special_tokens=False, verbose=False)["input_ids"]
    length = min(_BLOCK, max_length)
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    step = length - len(start)
    blocks = [start + ids[at : at + step] for at in range(0, max(1, len(ids) - step + 1), step)]
    return [Features(block, [0] * len(block), row=index) for index, block in enumerate(blocks)]


def _decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[tuple[int, ...]]:
    return [tuple(int(token) for token in output[:, 1]) for output in outputs]


def _metrics(answers: Answers) -> tuple[Metric, ...]:
    likelihood = ratio([(float(output[:, 0].sum()), len(output)) for output in answers.outputs])
    return (Metric("perplexity", np.arange(len(answers.outputs)), lambda weights: np.exp(likelihood(weights))),)


def _calibration(answers: Answers) -> Calibration | None:
    """Of a vocabulary's distribution only the true token's likelihood is kept. None where no token has another one before it."""
    likelihoods = np.exp(-np.concatenate([output[:, 0] for output in answers.outputs]))
    if not len(likelihoods):
        return None
    return Calibration(
        unit="tokens", rows=len(likelihoods), true_class=known(likelihoods.mean()),
        ece=None, ace=None, teacher_kl=None, reliability=None, by_teacher=None,
    )  # fmt: skip


def _reduced(ids: Sequence[int], output: torch.Tensor) -> np.ndarray:
    """Next-token logits become two numbers a token, as in targets/protocol.py: nobody keeps a vocabulary's worth of logits."""
    import torch

    logits = output[:-1].double()
    nll = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:], dtype=torch.long), reduction="none")
    reduced: np.ndarray = torch.stack([nll, logits.argmax(dim=-1).double()], dim=-1).numpy()
    return reduced


def top_logits(logits: torch.Tensor) -> torch.Tensor:
    """[tokens, vocabulary] logits as [tokens, 2 k]: log probabilities of the k likeliest, then their ids."""
    import torch

    best = torch.log_softmax(logits.float(), dim=-1).topk(min(_TOP_LOGITS, logits.shape[-1]), dim=-1)
    return torch.cat([best.values, best.indices.float()], dim=-1)


def _hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[np.ndarray]:
    return [np.array([*item.ids[1:], IGNORED], dtype=np.int64) for item in features]


def _label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """outputs: [rows, tokens, vocabulary]; hard: [rows, tokens], the next tokens."""
    return known_mean(outputs, hard)


def _soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Over the teacher's likeliest next tokens and one class for all others, whatever the temperature. soft: see `top_logits`."""
    return rows_mean(_next_token_divergence(outputs, soft), real_tokens(batch))


def _next_token_divergence(outputs: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    import torch

    log_teacher, ids = soft.float().chunk(2, dim=-1)
    log_student = torch.log_softmax(outputs.float(), dim=-1).gather(-1, ids.long())
    both = [torch.cat([likeliest, _log_rest(likeliest)], dim=-1) for likeliest in (log_student, log_teacher)]
    return torch.nn.functional.kl_div(both[0], both[1], reduction="none", log_target=True).sum(dim=-1)


def _log_rest(likeliest: torch.Tensor) -> torch.Tensor:
    return (1 - likeliest.exp().sum(dim=-1, keepdim=True)).clamp(min=1e-6).log()


def _aligned(outputs: Outputs, features: Sequence[Features], others: Sequence[Features], new_id: Mapping[int, int]) -> Outputs:
    """There is an answer only where all pieces stayed, and it is renumbered; else the result is empty."""
    same = [[new_id.get(index) for index in item.ids] for item in features] == [other.ids for other in others]
    return [_renumbered(output, new_id) for output in outputs] if same else []


def _renumbered(output: np.ndarray, new_id: Mapping[int, int]) -> np.ndarray:
    renumbered = output.copy()
    renumbered[:, 1] = [new_id.get(int(index), -1) for index in output[:, 1]]
    return renumbered


def _ask_generate(folder: Path, calls: Sequence[Call], answers: WritingAnswers, longest: int) -> list[Figures]:
    """The model's own generate with what its generation_config says, but for drawing: the likeliest token each time.

    The text is that of the pipeline: the new tokens, the one that ends them too, are decoded without the prompt's.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    capped = bool(getattr(config, "attn_logit_softcapping", None))  # the fast attention forgets it
    plain = {"attn_implementation": "eager"} if capped else {}
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True, **plain).eval()
    stops = model.generation_config.eos_token_id
    stops = stops if isinstance(stops, list) else [stops]
    figures = []
    for (prompt,) in calls:
        encoded = tokenizer(prompt, return_tensors="pt", verbose=False)
        asked = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
        with torch.inference_mode():
            output = model.generate(**asked, do_sample=False, max_new_tokens=_ASKED_TOKENS, tokenizer=tokenizer)
        ids = output[0, encoded["input_ids"].shape[1] :].tolist()
        text = tokenizer.decode(ids, skip_special_tokens=True)
        figures.append(_figures_of_text(ids[:-1] if ids and ids[-1] in stops else ids, text))
    return figures


def _figures_of_text(ids: Sequence[int], text: str) -> Figures:
    return {f"token {place} is {index}": 1.0 for place, index in enumerate(ids, 1)} | {f"the text is {text!r}": 1.0}


_ASKED_TOKENS = 12
_LONGEST_PROMPT = 500  # characters: a check of 32 texts takes seconds


_GENERATE = Library(
    name="transformers' generate",
    package="transformers",
    applies=lambda source, answers: True,
    ask=_ask_generate,
    figures=lambda answer: _figures_of_text(answer.tokens, answer.text),
    call=lambda row: (row.text[:_LONGEST_PROMPT],) if row.text.strip() else None,
    long_call=None,
    settings={"max_tokens": _ASKED_TOKENS, "temperature": 0.0},
)


def _served_likelihoods(model: Any, rows: Sequence[Row], features: Sequence[Features]) -> Iterator[np.ndarray]:
    """Of the first blocks: the raw text becomes ids by the module's code, and is read token by token with its cache, as it is written."""
    ids = model.texts.chat("\n".join(row.text for row in rows))  # without special tokens
    at = 0
    for item in features[:_SERVED_BLOCKS]:
        opens = [] if item.ids[:1] == ids[at : at + 1] else item.ids[:1]  # a token that opens a text
        block = [*opens, *ids[at : at + len(item.ids) - len(opens)]]
        at += len(block) - len(opens)
        yield _read_one_by_one(model.session.decoder(len(block)), block)


def _read_one_by_one(decoder: Any, ids: Sequence[int]) -> np.ndarray:
    """As `_reduced`: [tokens - 1, 2]."""
    read = []
    for token, following in pairwise(ids):
        logits = decoder.step([token]).astype(np.float64)
        peak = logits.max()
        read.append((np.log(np.exp(logits - peak).sum()) + peak - logits[following], logits.argmax()))
    return np.array(read)


TASK = Task(
    name="text-generation",
    auto_class="AutoModelForCausalLM",
    architectures=("ForCausalLM", "LMHeadModel"),
    adapter_kind="CAUSAL_LM",
    outputs=("logits",),  # reduced to [tokens - 1, 2]: the next token's negative log-likelihood, and the likeliest token
    per_token=True,
    metric="perplexity",
    example=(("prompt", "Once upon a time"),),
    answer_field="text",
    answer_record=WritingAnswers,
    answers=_answers,
    columns=partial(text_columns, with_pair=False),
    row=text_row,
    row_of_text=lambda text: Row("", text=text) if text else None,
    texts=_texts,
    encode=_encode,
    decide=_decide,
    metrics=_metrics,
    forward=logits_of,
    soft_loss=_soft_loss,
    decodes=True,
    head_outputs=0,
    lower_is_better=True,
    joins_rows=True,
    default_importance="remainder",  # a gradient ranks grouped heads no better than a die (benchmarks/heads_by_family.py)
    calibration=_calibration,
    hard_targets=_hard_targets,
    label_loss=_label_loss,
    kept_outputs=top_logits,
    reduced=_reduced,
    aligned=_aligned,
    comparable=lambda output: output[:, 0],  # which of two equal tokens is likelier is a matter of rounding
    gap=lambda differences: float(differences.mean()) if len(differences) else 0.0,  # in nats
    choices=lambda output: output[:, 1],
    library=_GENERATE,
    java_method="generate",
    answer_class="Generated",
    served_outputs=_served_likelihoods,
    in_browsers=True,
    text_labels=("The beginning of a text", ""),
)
