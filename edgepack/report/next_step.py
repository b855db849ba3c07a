"""The cheapest next step towards a budget that does not hold: what needs no training first, all of it predicted, none of it tried."""

from collections.abc import Iterator

from edgepack.pack.manifest import Manifest
from edgepack.plan.choice import file_kind
from edgepack.plan.cost_model import predict
from edgepack.plan.precision import all_precisions, precision_facts
from edgepack.plan.shape import ModelShape
from edgepack.plan.student import candidate_students


def next_step(manifest: Manifest, name: str, actual: float, limit: float) -> str:
    """A sentence for the budget `name`, which `actual` exceeds. A step's prediction is scaled by how far the one for this pack was off."""
    if name == "score_drop":
        return _more_quality(manifest)
    units = {"file_mb": "MB", "ram_mb": "MB"}
    predicted_now = getattr(manifest.predictions, name)
    for flag, predicted, needs in _steps(manifest, name):
        expected = actual * predicted / predicted_now
        if expected <= limit:
            return f"cheapest next step: {flag}, predicted {expected:.3g} {units.get(name, 'ms')}; {needs}"
    flag = f"--{name.replace('_', '-')} {actual:.3g}"
    return f"no step that edgepack knows is predicted to meet it: raise the budget with {flag}, or choose another model"


def _steps(manifest: Manifest, name: str) -> Iterator[tuple[str, float, str]]:
    """Flags with the figure predicted for them, the cheapest first."""
    plan, recipe, shape = manifest.plan, manifest.recipe, manifest.plan.student

    def figure(shape: ModelShape, precision: str, bits: int, prepack: bool) -> float:
        predicted: float = getattr(predict(shape, precision, manifest.profile, plan.runtime, recipe.length, bits, prepack), name)
        return predicted

    bits, offered = recipe.embedding_bits or 8, manifest.profile.runtimes[plan.runtime].precisions
    decodes = shape.decodes
    widest_first = all_precisions()
    narrower = widest_first[widest_first.index(precision_facts(plan.precision)) + 1 :]
    for facts in (facts for facts in narrower if facts.name in offered and file_kind(shape, plan.runtime) in facts.suggested_for):
        yield f"--precision {facts.name}", figure(shape, facts.name, bits, plan.prepack), "needs no training"
    if name == "file_mb" and bits == 8 and plan.format == "onnx" and precision_facts(plan.precision).is_integer and not decodes:
        yield "--embedding-bits 4", figure(shape, plan.precision, 4, plan.prepack), "needs no training"
    if name in ("load_ms", "ram_mb") and plan.prepack and plan.format == "onnx" and not decodes:
        yield "--no-prepack", figure(shape, plan.precision, bits, False), "needs no training; each inference takes longer"
    if recipe.data is not None:
        for student in candidate_students(shape):
            yield (
                f"--student {student.params / 1e6:.2g}M",
                figure(student, plan.precision, bits, plan.prepack),
                "distils a smaller student, which may cost points",
            )


def _more_quality(manifest: Manifest) -> str:
    wider = precision_facts(manifest.plan.precision).wider
    last, before = manifest.ladder[-1], manifest.ladder[-2] if len(manifest.ladder) > 1 else None
    lost_last = (last.score_drop or 0) - (before.score_drop or 0) if before else 0.0
    if wider and lost_last > 0.5 * (last.score_drop or 0):
        return f"cheapest next step: --precision {wider}, since most of the points went in the last stage; needs no training"
    trained = [row.stage for row in manifest.ladder if row.stage not in ("teacher", "export", "quantize")]
    if trained:
        return f"cheapest next step: more --epochs, or a larger --student: the points went in {', '.join(trained)}; not predicted"
    return "cheapest next step: a wider --precision, or a larger --score-drop; not predicted"
