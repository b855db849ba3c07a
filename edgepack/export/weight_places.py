"""Where the matrices of a model file lie: name, offset and bytes of each, in the file that holds the weights."""

from pathlib import Path

Place = tuple[str, int, int]


def weights_in(folder: Path, model: str) -> tuple[Path, list[Place]]:
    """The file with the weights of the model in `folder`, and its matrices. ONNX: the file beside the graph; TFLite: the model itself."""
    path = folder / model
    return (path, _of_tflite(path)) if path.suffix == ".tflite" else _of_onnx(path)


def _of_onnx(path: Path) -> tuple[Path, list[Place]]:
    import onnx

    places, data = [], path.with_name(f"{path.name}.data")
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if where:
            places.append((tensor.name, int(where.get("offset", 0)), int(where["length"])))
    return data, places


def _of_tflite(path: Path) -> list[Place]:
    """A buffer is named after the first tensor that reads it."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    content = np.fromfile(path, np.uint8)
    model = schema.Model.GetRootAs(content)
    names: dict[int, str] = {}
    for at in range(model.SubgraphsLength()):
        graph = model.Subgraphs(at)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            names.setdefault(tensor.Buffer(), (tensor.Name() or b"").decode("utf-8", "replace"))
    start = content.__array_interface__["data"][0]
    places = []
    for index in range(model.BuffersLength()):
        data = model.Buffers(index).DataAsNumpy()
        if isinstance(data, np.ndarray) and data.size:
            places.append((names.get(index, ""), data.__array_interface__["data"][0] - start, data.nbytes))
    return places
