"""The last thing that is done to a pack's files: the weights are coded, where the plan says so."""

import time
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.pack.coding import code_file, parts_between
from edgepack.pack.manifest import StageRecord
from edgepack.pack.runnable import Runnable
from edgepack.pipeline.scoring import file_size_mb, summary
from edgepack.plan.coding import Coding

_SMALLEST_BYTES = 1 << 10


def coded(folder: Path, runnable: Runnable, coding: Coding, before: StageRecord) -> tuple[Runnable, StageRecord]:
    """Puts coded weights into `folder` in place of those that lie there; what a target must know, and the ladder's row for it.

    The file that they decode to is the one that was judged, byte for byte, so its score stands in the row.
    """
    from edgepack.export.weight_places import weights_in

    say(f"code: {coding.why}")
    started = time.monotonic()
    source, places = weights_in(folder, runnable.model)
    if not source.is_file() or source.stat().st_size < _SMALLEST_BYTES:
        raise EdgepackError(f"the weights of {runnable.model} lie in no file that can be coded", "leave --bits, --weights and --codec out")
    whole = source.stat().st_size
    stated = code_file(source, parts_between(places, whole), coding.codec, coding.start, folder)
    source.unlink()
    runnable = runnable.model_copy(update={"coded": stated})
    coded_mb = (folder / stated.coded).stat().st_size / 1e6
    details = {"codec": coding.codec, "start": coding.start, "decoded_mb": round(whole / 1e6, 3), "ratio": round(coded_mb * 1e6 / whole, 4)}
    seconds = round(time.monotonic() - started, 2)
    changed = {"stage": coding.verb, "why": coding.why, "seconds": seconds, "details": details, "attempts": (), "coded_mb": None}
    row = before.model_copy(update=changed | {"file_mb": file_size_mb(folder, runnable)})
    say(f"  {summary(row)}")
    return runnable, row
