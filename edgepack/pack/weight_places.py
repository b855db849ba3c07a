"""Where each weight of an ONNX graph lies in the file beside it, as JSON for code in Java, which maps that file and copies nothing."""

import json
from pathlib import Path

from edgepack.core.errors import EdgepackError

_JAVA_TYPES = {"FLOAT": "FLOAT", "FLOAT16": "FLOAT16", "INT8": "INT8", "UINT8": "UINT8", "INT32": "INT32", "INT64": "INT64", "BOOL": "BOOL"}


def write_weights(model: Path, out: Path) -> None:
    """EdgepackError: weights of a type, or in more files, than Java's code reads."""
    import onnx

    graph = onnx.load(str(model), load_external_data=False).graph
    outside = [tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in outside]
    files = {place["location"] for place in places}
    types = {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in outside}
    if len(files) > 1 or not types <= set(_JAVA_TYPES):
        raise EdgepackError(
            f"Java's code cannot map the weights of {model}: {len(files)} files, types {', '.join(sorted(types))}",
            "build the pack again with this edgepack",
        )
    weights = [
        {
            "name": tensor.name,
            "type": _JAVA_TYPES[onnx.TensorProto.DataType.Name(tensor.data_type)],
            "shape": list(tensor.dims),
            "offset": int(place.get("offset", 0)),
            "bytes": int(place["length"]),
        }
        for tensor, place in zip(outside, places, strict=True)
    ]
    content = {"file": next(iter(files), None), "weights": weights}
    out.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
