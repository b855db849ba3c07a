"""verify(): every hash of a pack, then its golden vectors in the real runtime."""

import shutil
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.records import Frozen
from edgepack.measure.answers import answer
from edgepack.measure.golden import largest_gap
from edgepack.pack.golden import DIGITS, read_golden
from edgepack.pack.manifest import WEIGHT_CACHE, Manifest, check_files, read_manifest
from edgepack.pipeline.prompts import rendered_chat
from edgepack.plan.formats import python_runtime
from edgepack.tasks.common.task import Features


class Verification(Frozen):
    """What verify() found; it raises where something is wrong."""

    pack_id: str
    files: int
    golden_texts: int
    largest_difference: float
    tolerance: float
    token_ids_equal: int  # texts whose ids the pack's tokenizer gave again
    runtime: str


def verify(pack: Path) -> Verification:
    """Checks every hash, then asks the real runtime for the golden outputs and the tokenizer for the token ids.

    EdgepackError names the first file that was changed, or the first text whose output or ids differ.
    """
    manifest = read_manifest(pack)
    check_files(pack, manifest)
    golden = read_golden(pack)
    features = [Features(entry["input_ids"], entry["token_type_ids"], index) for index, entry in enumerate(golden)]
    outputs = answer(pack, manifest.plan.runtime, features, threads=1, exact=manifest.plan.exact_products, title="golden vectors")
    worst = largest_gap(manifest, golden, outputs, "")
    return Verification(
        pack_id=manifest.pack_id,
        files=len(manifest.files),
        golden_texts=len(golden),
        largest_difference=round(worst, DIGITS),
        tolerance=manifest.golden_tolerance,
        token_ids_equal=_check_tokenizer(pack, manifest, golden),
        runtime=python_runtime(manifest.plan.runtime),
    )


def verify_built(folder: Path) -> Verification:
    """The end of every build: what verify() will find later must hold before a pack is put into its place."""
    done = verify(folder)
    shutil.rmtree(folder / WEIGHT_CACHE, ignore_errors=True)  # a device makes its own
    say(f"verified: {done.golden_texts} golden texts within {done.largest_difference:g}, token ids of {done.token_ids_equal} equal")
    if done.golden_texts and not done.token_ids_equal:
        raise EdgepackError("no golden text of the pack could be compared as text", "this is a fault of edgepack: please report it")
    return done


def _check_tokenizer(pack: Path, manifest: Manifest, golden: list[dict[str, Any]]) -> int:
    """Ids, token types and mask of every text that stands beside golden outputs. EdgepackError: one differs, or there is no text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(pack / "tokenizer.json"))
    equal = 0
    for entry in golden:
        if "words" in entry:
            encoded = tokenizer.encode(entry["words"], is_pretokenized=True)
        elif "text" in entry:
            encoded = tokenizer.encode(entry["text"], entry.get("text_pair") or None)
        elif "messages" in entry:
            encoded = tokenizer.encode(rendered_chat(manifest.answers, entry["messages"]), add_special_tokens=False)
        else:
            continue
        shown = str(entry.get("text", entry.get("words")))[:60]
        _check_encoded(encoded, entry, "token_type_ids" in manifest.inputs, shown)
        equal += 1
    if not equal and any(key in entry for entry in golden for key in ("text", "words", "messages")):
        raise EdgepackError("no text of the pack was compared by its token ids", "build the pack again")
    return equal


def _check_encoded(encoded: Any, entry: dict[str, Any], has_types: bool, shown: str) -> None:
    wrong = [
        name
        for name, ours, golden in (
            ("token ids", encoded.ids, entry["input_ids"]),
            ("token types", encoded.type_ids if has_types else [], entry["token_type_ids"] if has_types else []),
            ("a mask", encoded.attention_mask, [1] * len(entry["input_ids"])),
        )
        if ours != golden
    ]
    if wrong:
        raise EdgepackError(f"the pack's tokenizer gives other {wrong[0].removeprefix('a ')} for {shown!r}", "build the pack again")
