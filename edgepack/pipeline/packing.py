"""Makes the pack's folder from the results of the stages: everything but the report."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.core.cache import library_versions
from edgepack.core.files import write_json
from edgepack.measure.machines.transports.local import versions_beside
from edgepack.model.source import Source
from edgepack.pack.attempts import Attempt
from edgepack.pack.attestation import write_attestation
from edgepack.pack.manifest import Manifest, Origin, seal
from edgepack.pack.runnable import Runnable, write_runnable
from edgepack.pipeline.checks import check_shipped_products
from edgepack.pipeline.coding_stage import coded
from edgepack.pipeline.pack_texts import longest_text, write_tokenizer
from edgepack.pipeline.state import BuildState, ExportedFile, QuantizedFile
from edgepack.pipeline.vector_stage import with_codes
from edgepack.plan.coded_costs import predicted, ways
from edgepack.plan.cost_model import predict
from edgepack.plan.formats import format_versions
from edgepack.plan.prediction import Prediction
from edgepack.plan.runtime import runtime_facts
from edgepack.plan.shape import ModelShape
from edgepack.report.model_card import write_model_card

_NOT_IN_CONFIG = ("_name_or_path", "auto_map")  # a path of somebody's machine; code that a pack does not bring


@dataclass(frozen=True)
class Pack:
    """What is shipped: a folder, and the manifest that lists all that is in it."""

    folder: Path
    manifest: Manifest


def write_pack(folder: Path, state: BuildState, command: str) -> Pack:
    """Everything but the report: model, tokenizer, labels, golden vectors, model card, pack.json. command: what built it."""
    from edgepack.export.genai_config import GENAI_FILE, genai_config
    from edgepack.pack.golden import write_golden
    from edgepack.pipeline.golden_texts import golden_texts, golden_tolerance

    material, plan, checkpoint = state.material, state.plan, state.work.checkpoint
    runnable = state.model_file.runnable
    _copy_model(state.model_file, folder)
    max_length = longest_text(runnable, material)
    write_tokenizer(material, max_length, folder, "token_type_ids" in runnable.inputs)
    if plan.format == "tflite":
        _describe(folder / runnable.model, state, max_length)
    if not runtime_facts(plan.runtime).scale_by_channel:
        from edgepack.quantize.tflite_scales import refuse_for_old_runtime

        refuse_for_old_runtime(folder / runnable.model)
    labels = {str(index): name for index, name in sorted(material.id2label.items())}
    stated = None if material.answers is None else material.answers.as_json()
    runnable = runnable.model_copy(update={"max_length": max_length, "labels": labels, "answers": stated})
    write_json(folder / "labels.json", labels)
    if runnable.is_decoder and plan.format == "onnx":
        write_json(folder / GENAI_FILE, genai_config(checkpoint.config, runnable))
    write_json(folder / "config.json", model_config(checkpoint.config, labels))
    stored = _stored(folder / runnable.model)
    if plan.coding:
        runnable, row = coded(folder, runnable, plan.coding, state.ladder[-1])
        state = replace(state, ladder=(*state.ladder, row))
    write_runnable(folder, runnable)
    if plan.vectors:
        answers, row = with_codes(folder, state, runnable.answers or {})
        state = replace(state, ladder=(*state.ladder, row))
        runnable = runnable.model_copy(update={"answers": answers})
        write_runnable(folder, runnable)
    golden = golden_texts(folder, state, runnable, _precision(state))
    write_golden(folder / "golden.jsonl", golden)
    outputs = [np.asarray(entry["output"]) for entry in golden]
    manifest = _manifest(state, runnable, stored, command, golden_tolerance(_precision(state), state.material.task, outputs))
    write_model_card(folder, manifest)
    write_attestation(folder, seal(folder, manifest))
    return Pack(folder, seal(folder, manifest))


def _precision(state: BuildState) -> str:
    """Of the file that ships: a gate may have widened what was planned."""
    attempts = _attempts(state)
    return attempts[-1].precision if attempts else state.plan.precision


def _attempts(state: BuildState) -> tuple[Attempt, ...]:
    """Ways to quantize; the last one is what ships."""
    return next((row.attempts for row in reversed(state.ladder) if row.attempts), ())


@dataclass(frozen=True)
class _Stored:
    """Counts of the model file as a runtime reads it, before its weights are coded."""

    products: dict[str, int]
    weight_bytes: dict[str, int]


def _stored(model: Path) -> _Stored:
    from edgepack.quantize.matrix_products import count_matrix_products, stored_bytes

    return _Stored(count_matrix_products(model), stored_bytes(model))


def _manifest(state: BuildState, runnable: Runnable, stored: _Stored, command: str, tolerance: float) -> Manifest:
    """Before it is sealed: without the pack's files."""
    material, plan, profile, precision = state.material, state.plan, state.profile, _precision(state)
    shape = state.work.checkpoint.shape(material.task.name)
    attempts = _attempts(state)
    if attempts:
        check_shipped_products(stored.products, attempts[-1])
    return Manifest(
        **runnable.model_dump(),
        edgepack=library_versions()["edgepack"],
        format=plan.format,
        precision=precision,
        golden_tolerance=tolerance,
        products=stored.products,
        weight_bytes=stored.weight_bytes,
        predictions=_predicted(state, precision, shape),
        profile=profile,
        recipe=material.recipe,
        plan=plan,
        ladder=state.ladder,
        source=_origin(state.source),
        base=_origin(state.source.base) if state.source.base else None,
        licence=state.source.licence,
        data=Origin(name=material.data.name, sha256=material.data.sha256) if material.data else None,
        seed=material.recipe.seed,
        command=command,
        versions=library_versions() | format_versions(plan.format) | versions_beside(plan.runtime),
        files=(),
    )


def _predicted(state: BuildState, precision: str, shape: ModelShape) -> Prediction:
    """For the model that was built, with its weights coded where they are."""
    recipe, plan, profile = state.material.recipe, state.plan, state.profile
    whole = predict(shape, precision, profile, plan.runtime, recipe.length, plan.embedding_bits, plan.prepack)
    if (coding := plan.coding) is None:
        return whole
    return predicted(ways(shape, whole, profile, coding.bits, coding.codec, coding.weights), coding.start)


def _copy_model(work: ExportedFile | QuantizedFile, folder: Path) -> None:
    score_model = [work.folder / work.runnable.score_model] if work.runnable.score_model else []
    for path in (*work.folder.glob(f"{work.runnable.model}*"), *score_model):
        shutil.copyfile(path, folder / path.name)


def _describe(file: Path, state: BuildState, max_length: int) -> None:
    """Puts into the file itself what stands in the pack beside it: an app may take the file alone."""
    from edgepack.export.tflite_metadata import Facts, write_metadata

    material = state.material
    pieces = [piece for piece, _ in sorted(material.tokenizer.get_vocab().items(), key=lambda entry: entry[1])]
    names = [name for _, name in sorted(material.id2label.items())]
    facts = Facts(
        name=state.source.name,
        description=f"{material.task.name}, texts of up to {max_length} tokens, made for {state.profile.name} by edgepack",
        version=library_versions()["edgepack"],
        licence=state.source.licence,
        labels=[] if any("\n" in name or "\r" in name for name in names) else names,
        pieces=[] if any("\n" in piece or "\r" in piece for piece in pieces) else pieces,  # a line each, or none
        outputs={name: f"{name.replace('_', ' ')}{' of each token' if material.task.per_token else ''}" for name in material.task.outputs},
    )
    write_metadata(file, facts)


def model_config(config: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """config.json of a pack: what optimum and transformers.js ask before they open model.onnx; nothing of where it came from."""
    entries = {key: value for key, value in config.items() if key not in _NOT_IN_CONFIG}
    return entries | ({"id2label": labels, "label2id": {name: int(index) for index, name in labels.items()}} if labels else {})


def _origin(source: Source) -> Origin:
    return Origin(name=source.name, sha256=source.sha256, revision=source.revision)
