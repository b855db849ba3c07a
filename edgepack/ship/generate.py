"""generate(): continues a text with a text-generation pack, in the target's runtime and in a separate process."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgepack.core.errors import EdgepackError, border_of_rust, stopped_in_rust
from edgepack.core.host import usable_cores
from edgepack.core.reading import parse_json
from edgepack.core.records import Frozen
from edgepack.core.showing import shown
from edgepack.measure.machines.transports.local import stream_job
from edgepack.pack.manifest import REPORT_FILES, Manifest, check_files, read_manifest
from edgepack.ship.chat_rendering import text_of_chat
from edgepack.tasks import task_named

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_TOKENS = 128  # where neither a call nor the model's folder says how many
_MOST_LOOKUP = 32  # as in targets/lookup.py
_NOT_WHOLE = "\ufffd"  # what a tokenizer shows for bytes that are no character, or none yet


class Generated(Frozen):
    """What followed a prompt, and how long it took here: ms of the session's load, to the first token, and of each further one."""

    text: str
    tokens: tuple[int, ...]
    ended_by: Literal["stop", "max_tokens", "positions"]
    prompt_tokens: int
    load_ms: float | None  # on an emulated CPU there are no times
    first_token_ms: float | None
    token_ms: tuple[float, ...]
    tokens_per_s: float | None  # after the first, text and choice included; null where there is none
    threads: int
    pack_id: str
    runtime: dict[str, Any]
    machine: dict[str, Any]
    origin: Literal["measured"] = "measured"

    def summary(self) -> str:
        """One line for people."""
        by = self.machine.get("emulated_by")
        if by:
            return f"{len(self.tokens)} tokens ({self.ended_by}); not timed, because this CPU is emulated by {by}"
        if self.first_token_ms is None:
            return f"no token: {self.ended_by}"
        speed = "" if self.tokens_per_s is None else f", then {self.tokens_per_s:.1f} tokens/s"
        where = f"measured here, {self.machine['cpu']}, {self.threads} threads"
        return f"{len(self.tokens)} tokens ({self.ended_by}), the first after {self.first_token_ms:.0f} ms{speed}; {where}"


@border_of_rust()
def generate(  # noqa: PLR0913, PLR0917  a setting is a parameter
    pack: Path | str,
    prompt: str = "",
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    show: Callable[[str], Any] | None = None,
    messages: Sequence[Mapping[str, str]] | None = None,
    window: Literal["refuse", "slide"] = "refuse",
    lookup_tokens: int = 0,
) -> Generated:
    """Continues `prompt` by at most `max_tokens`, on all cores; ends at the model's stop tokens and at its last position.

    What is None is as the model's folder says, and where it says nothing greedy and 128 tokens. temperature 0 takes the likeliest
    token each time; above, tokens are drawn by `seed` from the `top_k` likeliest (0: all) and from the likeliest that together reach
    the probability `top_p`. show receives the text piece by piece, as it is certain. messages: in place of a prompt, a conversation
    [{"role": "user", "content": "..."}, ...] for the model's chat template. window: `slide` goes on where no position is left, with
    the first token and the last half of the positions. lookup_tokens: prompt lookup of up to 32 tokens a run.
    The text is that of the new tokens alone, as transformers' pipeline gives it. A prompt without tokens is the model's start token.
    EdgepackError: values out of range, a pack that generates no text, no token to begin with, a prompt longer than the positions.
    """
    _check_settings(max_tokens, temperature, top_k, top_p, seed, lookup_tokens)
    if window not in {"refuse", "slide"}:
        raise EdgepackError(f"unknown --window: {window!r}", "choose refuse or slide")
    manifest = _text_generator(Path(pack))
    tokenizer = read_tokenizer(Path(pack))
    asked = _ids(tokenizer, prompt) if messages is None else _chat_ids(tokenizer, messages, manifest, Path(pack).name)
    if max(asked, default=0) >= manifest.vocab:  # some runtimes read what lies behind the table then
        problem = f"the tokenizer makes token {max(asked)} of the prompt, and the model knows {manifest.vocab} tokens"
        raise EdgepackError(problem, "build the pack again")
    lead = [] if asked else _start(manifest, prompt)
    ids = asked or lead
    if window == "refuse":
        _check_room(ids, manifest)
    max_tokens = _most_tokens(manifest, len(ids), max_tokens)
    job = {
        "kind": "generate",
        "threads": usable_cores(),
        "prompt": ids,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "window": window,
        "lookup_tokens": lookup_tokens,
    }
    result: dict[str, Any] = {}
    pieces = []
    for piece in stable_text(tokenizer, lead, _tokens(stream_job(Path(pack), manifest.plan.runtime, job), result)):
        pieces.append(piece)
        if show:
            show(piece)
    return _generated("".join(pieces), result, job["threads"], manifest.pack_id)


def _generated(text: str, result: dict[str, Any], threads: int, pack_id: str) -> Generated:
    """result: the last object of the job's stream."""
    token_ms = result["token_ms"] or ()  # as all times null on an emulated CPU
    spent = sum(token_ms)
    return Generated(
        text=text,
        tokens=tuple(result["tokens"]),
        ended_by=result["ended_by"],
        prompt_tokens=result["prompt_tokens"],
        load_ms=_rounded(result["session_ms"]),
        first_token_ms=_rounded(result["first_token_ms"]),
        token_ms=tuple(token_ms),
        tokens_per_s=round(len(token_ms) / spent * 1e3, 2) if spent else None,
        threads=threads,
        pack_id=pack_id,
        runtime=result["runtime"],
        machine=result["machine"],
    )


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 3)


def stable_text(tokenizer: "Tokenizer", lead: list[int], tokens: Iterable[int]) -> Iterator[str]:
    """The text of tokens behind a `lead`, in pieces that later tokens do not change: a character of several tokens waits for its last."""
    ids, shown, text = list(lead), "", ""
    for token in tokens:
        ids.append(token)
        text = tokenizer.decode(ids)
        certain = text.rstrip(_NOT_WHOLE)
        if len(certain) > len(shown) and certain.startswith(shown):
            yield certain[len(shown) :]
            shown = certain
    if len(text) > len(shown):  # bytes that never became a character
        yield text[len(shown) :]


def read_tokenizer(pack: Path) -> "Tokenizer":
    """The pack's tokenizer, that cuts nothing off: a prompt that is too long is an error, not another prompt."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(pack / "tokenizer.json"))
    except BaseException as error:  # the library raises nothing more precise, and in Rust what is no Exception
        if not isinstance(error, Exception) and stopped_in_rust(error) is None:
            raise
        raise EdgepackError(f"{pack / 'tokenizer.json'} cannot be read: {shown(str(error))}", "build the pack again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _tokens(stream: Iterable[dict[str, Any]], result: dict[str, Any]) -> Iterator[int]:
    """The tokens of a job's stream, the one that ends them too; its last object is put into `result`."""
    for event in stream:
        if "token" in event:
            yield event["token"]
        else:
            result.update(event)
            if event.get("stop_token") is not None:  # the decoder leaves it out where it is a special token
                yield event["stop_token"]


def _check_settings(
    max_tokens: int | None, temperature: float | None, top_k: int | None, top_p: float | None, seed: int, lookup_tokens: int
) -> None:
    for name, value, ok, fix in (
        ("max_tokens", max_tokens, max_tokens is None or max_tokens > 0, "give the most tokens to generate, 1 or more"),
        (
            "temperature",
            temperature,
            temperature is None or 0 <= temperature < float("inf"),
            "give 0 for the likeliest token each time, or up to about 1.5",
        ),
        ("top_k", top_k, top_k is None or top_k >= 0, "give how many tokens to draw from, or 0 for all"),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1, "give the probability to draw from, above 0 and up to 1"),
        ("seed", seed, seed >= 0, "give 0 or more"),
        ("lookup_tokens", lookup_tokens, 0 <= lookup_tokens <= _MOST_LOOKUP, f"give the most tokens to try at once, up to {_MOST_LOOKUP}"),
    ):
        if not ok:
            raise EdgepackError(f"out of range: --{name.replace('_', '-')} {value!r}", fix)


def _text_generator(pack: Path) -> Manifest:
    manifest = read_manifest(pack)
    check_files(pack, manifest, skip=REPORT_FILES)
    if not task_named(manifest.task).decodes:
        raise EdgepackError(
            f"{str(pack)!r} is a pack for {manifest.task}, so it generates no text",
            "give a pack that was built from a text-generation model",
        )
    if not manifest.is_decoder or not manifest.positions:
        raise EdgepackError(
            f"{str(pack)!r} keeps no keys and values between tokens, so it cannot generate text", "build the pack again with this edgepack"
        )
    return manifest


def read_messages(text: str) -> list[dict[str, str]]:
    """A JSON list of messages, or any other text as the one message of a user. EdgepackError: a list that is not JSON."""
    if not text.lstrip().startswith("[{"):
        return [{"role": "user", "content": text}]
    fix = 'give [{"role": "user", "content": "..."}], or a plain text'
    messages: list[dict[str, str]] = parse_json(text, "--chat", fix)
    return messages


def _most_tokens(manifest: Manifest, prompt_tokens: int, asked: int | None) -> int:
    """As asked, or as the model's folder says: the same order as in targets/sampling.py."""
    stated = manifest.answers or {}
    if asked is None and stated.get("max_new_tokens"):
        asked = stated["max_new_tokens"]
    if asked is None and stated.get("max_length"):
        asked = max(1, stated["max_length"] - prompt_tokens)
    return asked or MOST_TOKENS


def _start(manifest: Manifest, prompt: str) -> list[int]:
    if manifest.start_id is None:
        problem = f"the prompt is empty: {json.dumps(prompt)} has no tokens, and the model has none to begin with"
        raise EdgepackError(problem, "give the text to continue with --prompt")
    return [manifest.start_id]


def _chat_ids(tokenizer: "Tokenizer", messages: Sequence[Mapping[str, str]], manifest: Manifest, place: str) -> list[int]:
    """Rendered by the code that a module runs. EdgepackError: no template, or one that refuses the conversation."""
    return _ids(tokenizer, text_of_chat(manifest.answers, messages, place), with_special=False)


def _ids(tokenizer: "Tokenizer", text: str, with_special: bool = True) -> list[int]:
    try:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=with_special).ids
    except Exception as error:  # of the library: the vocabulary has no token for a word that it does not know
        raise EdgepackError(f"the pack's tokenizer fails on the prompt: {shown(str(error))}", "give another prompt") from None
    return ids


def _check_room(ids: list[int], manifest: Manifest) -> None:
    if len(ids) > manifest.positions:
        fixed = manifest.format == "tflite"  # its cache, which may be shorter than what the model has positions for
        raise EdgepackError(
            f"the prompt has {len(ids)} tokens, "
            + (f"the file's cache holds {manifest.positions}" if fixed else f"the model has {manifest.positions} positions"),
            "shorten the prompt, because the generated text needs room too, or give --window slide"
            + (", or build with a larger --max-length" if fixed else ""),
        )
