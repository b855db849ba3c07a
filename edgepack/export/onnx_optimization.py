"""Optimizes an ONNX file for its runtime: fuses ops, and writes the weights to a file beside it that the runtime maps."""

from pathlib import Path

import onnx
import onnxruntime

from edgepack.export.file_names import DATA_FILE, MODEL_FILE
from edgepack.pack.runnable import Session

# onnxruntime's SkipLayerNormalization takes 198 us an op where Add and LayerNormalization take 28 (measured at 128 x 384):
# that fusion stays off, ahead of time and again when the session opens, so the session does not optimize at all.
_SLOWER_FUSED = ("SkipLayerNormFusion",)
SESSION = Session(graph_optimization_level="disable_all", disabled_optimizers=_SLOWER_FUSED)
_NOT_PACKED = {"session.disable_prepacking": "1"}
_SMALLEST_OUTSIDE_BYTES = 1024


def session_of(prepack: bool) -> Session:
    """Without packing a session opens in half the time and maps its weights; each inference then packs what it multiplies with."""
    return SESSION if prepack else SESSION.model_copy(update={"config": _NOT_PACKED})


def optimize_onnx(source: Path, folder: Path, name: str = MODEL_FILE, unfused: tuple[str, ...] = ()) -> None:
    """Writes `name` and DATA_FILE into `folder`, with every optimization that does not depend on the machine but those `unfused`."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / name)
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", DATA_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", str(_SMALLEST_OUTSIDE_BYTES))
    options.add_session_config_entry("session.disable_prepacking", "1")  # the session never runs: packing would copy every weight
    disabled = [*_SLOWER_FUSED, *unfused]
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled)
    _drop_added_attributes(source, folder / name)


def _drop_added_attributes(source: Path, written: Path) -> None:
    """onnxruntime writes out each attribute of its own ops that was left at its default; a release that has not heard of it then
    refuses a file that it could run."""
    stated = {node.name: {each.name for each in node.attribute} for node in onnx.load(source, load_external_data=False).graph.node}
    model = onnx.load(written, load_external_data=False)
    for node in model.graph.node:
        if node.domain and node.name in stated:
            attributes = [each for each in node.attribute if each.name in stated[node.name]]
            del node.attribute[:]
            node.attribute.extend(attributes)
    onnx.save(model, written)
