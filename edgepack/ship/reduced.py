"""What a smaller onnxruntime is built from, beside a module: the model as .ort, and the operators and types that it needs.

The list is what onnxruntime's own tool makes of the .ort file and of the graph as it is shipped, before any op of it is folded or fused: a
reduced build that reads the ONNX file opens that graph first. The .ort file proves itself before.
"""

import logging
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.ship.load import device_module
from edgepack.ship.module_files import GOLDEN_FILE, TOKENIZER_FILE, write_manifest
from edgepack.ship.shipment import Shipment, Size

FOLDER, MODEL_FILE, LIST_FILE = "reduced-runtime", "model.ort", "required_operators_and_types.config"
_LEVELS = {  # that a file for other processors may be saved at
    "disable_all": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_EXTENDED",
}
_LINE = re.compile(r"[A-Za-z0-9_.]+;[0-9]+;[A-Za-z0-9_,:{}\[\]\" ]+")
_ABOUT = "# Operators and types of this model, for onnxruntime's build: --include_ops_by_config\n"
_FULL_MB, _REDUCED_MB = 27, 11  # of an arm64 libonnxruntime.so for one transformer, not this one
_TALKS = "ort_format_model.utils"  # the logger of onnxruntime's tool
_SOURCE = "published by cantoo-scribe/capacitor-onnx, docs/reduced-onnx.md: not measured here, and of another transformer"


def check_reduced(shipment: Shipment) -> None:
    """EdgepackError: a pack of another format."""
    if shipment.manifest.format != "onnx":
        raise EdgepackError("--reduced-runtime is for onnxruntime, and the pack is a TFLite file", "build the pack with --format onnx")
    if shipment.manifest.coded is not None:
        raise EdgepackError("--reduced-runtime is not for coded weights: an .ort file holds plain ones", "build the pack without --codec")


def write_reduced(shipment: Shipment, folder: Path) -> tuple[Size, ...]:
    """Fills `folder`/reduced-runtime. EdgepackError: the .ort file does not answer as the pack does."""
    place = folder / FOLDER
    place.mkdir()
    graph = shipment.pack / shipment.manifest.model
    settings = shipment.manifest.session
    _save_as_ort(graph, place / MODEL_FILE, _LEVELS[settings.graph_optimization_level], settings.disabled_optimizers or ())
    _prove(shipment, place / MODEL_FILE)
    lines = _operators(graph, place / MODEL_FILE)
    (place / LIST_FILE).write_text(_ABOUT + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    ort = Size(part="model", what=f"{MODEL_FILE}, in place of the ONNX file", bytes=(place / MODEL_FILE).stat().st_size, source="measured")
    sizes = (("a full build, arm64", _FULL_MB), ("a build with one model's operators alone, arm64", _REDUCED_MB))
    return (ort, *(Size(part="runtime", what=what, bytes=round(mb * 1e6), source=_SOURCE) for what, mb in sizes))


def _save_as_ort(graph: Path, out: Path, level: str, disabled: Sequence[str] = ()) -> None:
    """Weights lie inside, as a runtime of the smallest kind reads one file."""
    device_module()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(out)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled))


def _prove(shipment: Shipment, ort: Path) -> None:
    """The module's own self-test over the .ort file."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copyfile(ort, place / MODEL_FILE)
        for file in (TOKENIZER_FILE, GOLDEN_FILE):
            shutil.copyfile(shipment.pack / file, place / file)
        manifest = shipment.manifest.model_copy(update={"model": MODEL_FILE})
        write_manifest(shipment.model_copy(update={"manifest": manifest, "signer": None}), place)
        result = device_module().self_test(place, threads=1)
    if not result.ok:
        raise EdgepackError(f"the model as .ort does not answer as the pack does: {result.problem}", "leave --reduced-runtime out")


def _operators(graph: Path, ort: Path) -> list[str]:
    """Lines of onnxruntime's format: domain;opset;operators with their types."""
    from onnxruntime.tools.ort_format_model import create_config_from_models

    logging.getLogger(_TALKS).setLevel(logging.WARNING)  # of a folder that is gone when this returns
    with tempfile.TemporaryDirectory() as name:
        plain, typed = Path(name) / MODEL_FILE, Path(name) / LIST_FILE
        _save_as_ort(graph, plain, _LEVELS["disable_all"])
        create_config_from_models([ort, plain], typed, True)
        lines = [line for line in typed.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    wrong = next((line for line in lines if not _LINE.fullmatch(line)), None)
    if wrong is not None:
        raise EdgepackError(f"an operator of the model has a name that cannot be listed: {wrong!r}", "leave --reduced-runtime out")
    return lines
