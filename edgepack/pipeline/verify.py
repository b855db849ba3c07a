"""verify(): every hash of a pack, then its golden vectors in the real runtime."""

from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.measure.answers import answer
from edgepack.measure.golden import largest_gap
from edgepack.pack.golden import DIGITS, read_golden
from edgepack.pack.manifest import Manifest, check_files, read_manifest
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
    found = answer(pack, manifest.plan.runtime, features, threads=1, exact=manifest.plan.exact_products, title="golden vectors")
    worst = largest_gap(manifest, golden, found, "")
    return Verification(
        pack_id=manifest.pack_id,
        files=len(manifest.files),
        golden_texts=len(golden),
        largest_difference=round(worst, DIGITS),
        tolerance=manifest.golden_tolerance,
        token_ids_equal=_check_tokenizer(pack, manifest, golden),
        runtime=python_runtime(manifest.plan.runtime),
    )


def _check_tokenizer(pack: Path, manifest: Manifest, golden: list[dict[str, Any]]) -> int:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(pack / "tokenizer.json"))
    equal = 0
    for entry in golden:
        if "words" in entry:
            ids = tokenizer.encode(entry["words"], is_pretokenized=True).ids
        elif "text" in entry:
            ids = tokenizer.encode(entry["text"], entry.get("text_pair") or None).ids
        elif "messages" in entry:
            ids = tokenizer.encode(rendered_chat(manifest.answers, entry["messages"]), add_special_tokens=False).ids
        else:
            continue
        if ids != entry["input_ids"]:
            raise EdgepackError(f"the pack's tokenizer gives other ids for {str(entry.get('text', ''))[:60]!r}", "build the pack again")
        equal += 1
    if not equal and any(key in entry for entry in golden for key in ("text", "words", "messages")):
        raise EdgepackError("no text of the pack was compared by its token ids", "build the pack again")
    return equal
