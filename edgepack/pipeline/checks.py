"""Checks a file before it is used: an export against torch, and matrix products against the plan."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.core.errors import EdgepackError
from edgepack.core.host import usable_cores
from edgepack.measure.answers import relative_difference
from edgepack.measure.decoding import check_decoding, chosen_texts, compare_decoding
from edgepack.model.material import Material
from edgepack.pack.attempts import Attempt, InFloat
from edgepack.pack.runnable import read_runnable
from edgepack.pipeline.scoring import file_outputs, torch_outputs
from edgepack.plan.family import Family
from edgepack.plan.plan import Plan
from edgepack.plan.precision import FEWEST_WEIGHTS

if TYPE_CHECKING:
    from torch import nn

    from edgepack.quantize.matrix_products import Product
    from edgepack.quantize.schemes import Candidate

EXPORT_TOLERANCE = 1e-4  # largest difference of an fp32 export against torch, beside the largest output


def check_student(material: Material, plan: Plan) -> None:
    """EdgepackError: a narrower student cannot take over the parts after its teacher's pooling."""
    stated = material.source.sentence
    if stated is not None and stated.has_widths and plan.student.hidden != plan.teacher.hidden:
        raise EdgepackError(
            f"the plan makes a student with a hidden width of {plan.student.hidden}, but the parts of "
            f"{material.source.name} after the pooling (Dense, LayerNorm, a head for masked words) have weights for {plan.teacher.hidden}",
            f"keep the width: --student {len(plan.student.layers)}x{plan.teacher.hidden}, or --student same",
        )


def check_export(model: "nn.Module", material: Material, plan: Plan, folder: Path) -> None:
    """Compares the file with torch on real texts, singly, padded where it reads several, and a decoder's token by token too.

    EdgepackError: they differ. Nobody ships a wrong file.
    """
    features = material.sample[1]
    reads_several = read_runnable(folder).reads_several
    checks: list[tuple[list, int, int | None]] = [(features, 1, None), *([(features, 8, None)] if reads_several else [])]
    if material.task.decodes:
        checks.append((chosen_texts(features), 1, 1))
    for texts, batch, at_once in checks:
        expected = torch_outputs(model, material, texts, "check in torch")
        outputs = file_outputs(folder, plan, texts, "check the export", batch, at_once)
        comparable = material.task.comparable
        worst = max(
            relative_difference(comparable(output), comparable(reference)) for output, reference in zip(outputs, expected, strict=True)
        )
        if not worst <= EXPORT_TOLERANCE:
            how = f"batch {batch}" + (", token by token" if at_once else "")
            raise EdgepackError(
                f"the exported file differs from torch by {worst:.2g} of the largest output (limit {EXPORT_TOLERANCE:g}, {how})",
                "this is a fault of the export, not of your model: please report the model's family and config",
            )


def products_in_float(file: Path, candidate: "Candidate", family: Family) -> tuple[InFloat, ...]:
    """The matrix products of a quantized file that are in float, each with the reason that the plan has for it.

    EdgepackError names a product that nobody wanted in float: the pack would not be what its label says.
    """
    from edgepack.quantize.matrix_products import matrix_products

    products = matrix_products(file)
    in_float = [product for product in products if product.precision == "float"]
    reasons = {product.layer: _why_in_float(product, candidate, family) for product in in_float}
    unasked = [product for product in in_float if not reasons[product.layer]]
    if unasked:
        first = max(unasked, key=lambda product: product.values)
        raise EdgepackError(
            f"{candidate.recipe}: {len(unasked)} of {len(products)} matrix products stayed in float, although the plan did not say so. "
            f"The largest is {first.op} in {first.layer}, with {first.values:,} weights",
            "this is a fault of the quantizer, not of your model: please report the model's family and config. "
            "--precision fp32 builds a pack that says so",
        )
    return tuple(InFloat(op=product.op, layer=product.layer, weights=product.values, why=reasons[product.layer]) for product in in_float)


def _why_in_float(product: "Product", candidate: "Candidate", family: Family) -> str:
    """Nothing where there is no reason."""
    if candidate.in_float is None:
        return "only the weights are narrower: the products are computed in float"
    if product.values < FEWEST_WEIGHTS:
        return f"fewer than {FEWEST_WEIGHTS:,} weights"
    if product.weight in candidate.in_float:
        return "kept wider by the recipe"
    return "a table that was computed ahead" if family.tables_ahead and product.axes > 2 else ""


def check_shipped_products(counts: dict[str, int], judged: Attempt) -> None:
    """EdgepackError where the file that is shipped is not the one that was judged."""
    if counts != judged.products:
        raise EdgepackError(
            f"the file to ship has {counts} matrix products by precision, but the judged file has {judged.products}",
            "delete the cache folder and build again",
        )


def checked_decoding(material: Material, plan: Plan, folder: Path, precision: str) -> dict[str, float | int | str]:
    """What a prompt read at once and token by token have in common, for the report. EdgepackError where it is too little."""
    threads = usable_cores()
    decoding = compare_decoding(folder, plan.runtime, material.sample[1], threads, plan.exact_products)
    check_decoding(decoding, precision)
    return {"prompt_agreement": decoding.agreement, "prompt_nll": decoding.nll}
