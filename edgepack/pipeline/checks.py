"""Checks of a file before anything is made of it: an export against torch, a decoder's prompt against its single tokens."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.core.errors import EdgepackError
from edgepack.measure.answers import difference
from edgepack.measure.decoding import check_decoding, chosen_texts, compare_decoding
from edgepack.model.material import Material
from edgepack.pipeline.scoring import file_outputs, torch_outputs
from edgepack.plan.plan import Plan

if TYPE_CHECKING:
    from torch import nn

EXPORT_TOLERANCE = 1e-4  # largest difference of an fp32 export against torch, absolute below 1 and relative above


def check_export(model: "nn.Module", material: Material, plan: Plan, folder: Path) -> None:
    """Compares the file with torch on real texts, singly and padded, and a decoder's token by token too.

    EdgepackError: they differ. Nobody ships a wrong file.
    """
    features = material.sample[1]
    checks: list[tuple[list, int, int | None]] = [(features, 1, None), (features, 8, None)]
    if material.task.decodes:
        checks.append((chosen_texts(features), 1, 1))
    for texts, batch, at_once in checks:
        expected = torch_outputs(model, material, texts, "check in torch")
        outputs = file_outputs(folder, plan, texts, "check the export", batch, at_once)
        comparable = material.task.comparable
        worst = max(difference(comparable(output), comparable(true)) for output, true in zip(outputs, expected, strict=True))
        if not worst <= EXPORT_TOLERANCE:
            how = f"batch {batch}" + (", token by token" if at_once else "")
            raise EdgepackError(
                f"the exported file differs from torch by {worst:.2g} (limit {EXPORT_TOLERANCE:g}, {how})",
                "this is a fault of the export, not of your model: please report the model's family and config",
            )


def checked_decoding(material: Material, plan: Plan, folder: Path, precision: str) -> dict[str, float | int | str]:
    """What a prompt read at once and token by token have in common, for the report. EdgepackError where it is too little."""
    threads = len(os.sched_getaffinity(0))
    decoding = compare_decoding(folder, plan.runtime, material.sample[1], threads, plan.exact_products)
    check_decoding(decoding, precision)
    return {"prompt_agreement": decoding.agreement, "prompt_nll": decoding.nll}
