"""verify(): every hash of a pack, then its golden vectors in the real runtime, and the decisions behind them."""

import shutil
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError, border_of_rust
from edgepack.core.progress import say
from edgepack.core.records import Frozen
from edgepack.measure.answers import answer
from edgepack.measure.golden import largest_gap
from edgepack.pack.golden import DIGITS, read_golden
from edgepack.pack.manifest import WEIGHT_CACHE, Manifest, check_files, read_manifest
from edgepack.pipeline.golden_texts import certain_tokens, proof, replay_of
from edgepack.plan.formats import python_runtime
from edgepack.ship.load import refusals_of_module
from edgepack.tasks.common.task import Features


class Verification(Frozen):
    """What verify() found; it raises where something is wrong."""

    pack_id: str
    files: int
    golden_texts: int
    largest_difference: float
    tolerance: float
    token_ids_equal: int  # texts whose ids, types and mask the pack's code gave again: all that are kept as text
    from_ids: int = 0  # the rest of the golden texts, which are kept as token ids alone
    decisions_equal: int = 0  # texts that are decided as when the pack was built; packs of older edgepacks state no decisions
    runtime: str


@border_of_rust()
def verify(pack: Path) -> Verification:
    """Checks every hash, then asks the real runtime for the golden outputs, and the code of a module for token ids and decisions.

    EdgepackError names the first file that was changed, or the first text whose output, ids, types, mask or decision differ.
    """
    manifest = read_manifest(pack)
    check_files(pack, manifest)
    golden = read_golden(pack)
    features = [Features(entry["input_ids"], entry["token_type_ids"], index) for index, entry in enumerate(golden)]
    outputs = answer(pack, manifest.plan.runtime, features, threads=1, exact=manifest.plan.exact_products, title="golden vectors")
    worst = largest_gap(manifest, golden, outputs, "")
    with refusals_of_module():
        equal = _check_texts(pack, manifest, golden)
    return Verification(
        pack_id=manifest.pack_id,
        files=len(manifest.files),
        golden_texts=len(golden),
        largest_difference=round(worst, DIGITS),
        tolerance=manifest.golden_tolerance,
        token_ids_equal=equal,
        from_ids=len(golden) - equal,
        decisions_equal=_check_decisions(pack, manifest, golden),
        runtime=python_runtime(manifest.plan.runtime),
    )


def verify_built(folder: Path) -> Verification:
    """The end of every build: what verify() will find later must hold before a pack is put into its place."""
    done = verify(folder)
    shutil.rmtree(folder / WEIGHT_CACHE, ignore_errors=True)  # a device makes its own
    say(
        f"verified: {done.golden_texts} golden texts within {done.largest_difference:g}, token ids of {done.token_ids_equal} of "
        f"{done.golden_texts - done.from_ids} and decisions of {done.decisions_equal} equal"
        + (f"; {done.from_ids} came as token ids, which no text gives" if done.from_ids else "")
    )
    return done


def _check_texts(pack: Path, manifest: Manifest, golden: list[dict[str, Any]]) -> int:
    """Ids, token types, mask and decision of every golden text. EdgepackError: one differs, or there is no text."""
    replay, again = replay_of(pack, manifest.as_json(), golden), f"build the pack again: {manifest.command}"
    texts = [entry for entry in golden if proof().is_text(entry)]
    if not texts:
        raise EdgepackError("no golden text of the pack could be compared as text: its token ids are not proved", again)
    for entry in texts:
        wrong = replay.differs(entry)
        if wrong is not None:
            shown = proof().shown_text(entry)
            what = "pack forms another decision" if wrong == "decision" else f"pack's tokenizer gives other {wrong}"
            raise EdgepackError(f"the {what} for {shown!r} than when it was built", "build the pack again")
    return len(texts)


def _check_decisions(pack: Path, manifest: Manifest, golden: list[dict[str, Any]]) -> int:
    """How many texts the pack decides as when it was built: of a model that writes, with the tokens that follow them.

    EdgepackError: other tokens follow one.
    """
    stated = [entry for entry in golden if "answer" in entry]
    if not manifest.is_decoder:
        return len(stated)
    most = [entry["answer"].get("max_tokens", 0) for entry in stated]
    written = certain_tokens(pack, manifest.plan.runtime, stated, most, 0.0)["tokens"]
    for entry, tokens in zip(stated, written, strict=True):
        if tokens != entry["answer"].get("tokens"):
            shown = proof().shown_text(entry)
            raise EdgepackError(f"the pack writes other tokens than when it was built: behind {shown!r}", "build the pack again")
    return len(stated)
